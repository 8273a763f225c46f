package field_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	. "annals/domain/field"
)

// Every kind of value: what is stored, or what is wrong with it.
func TestValues(t *testing.T) {
	s, w := registry(), others()
	long := strings.Repeat("ä", 1001)
	for _, c := range []struct {
		field Type
		value any
		want  any // nil: nothing is stored
		code  string
		at    string // beyond the field
	}{
		{field: Text, value: "  a\tb \n", want: "a b"},
		{field: Text, value: " \n"},
		{field: Text, value: nil},
		{field: Text, value: long, code: "too_long"},
		{field: Text, value: "a\x00b", code: "control_character"},
		{field: Text, value: "a\xff", code: "encoding"},
		{field: Text, value: 1.0, code: "type"},
		{field: Text, value: true, code: "type"},
		{field: Text, value: []any{"a"}, code: "type"},
		{field: LongText, value: "a\r\nb\n", want: "a\nb"},
		{field: LongText, value: strings.Repeat("ä", 20_001), code: "too_long"},
		{field: Number, value: 12.5, want: "12.5"},
		{field: Number, value: math.Copysign(0, -1), want: "0"},
		{field: Number, value: "-0.00", want: "0"},
		{field: Number, value: "+007.50", want: "7.5"},
		{field: Number, value: " 12 ", want: "12"},
		{field: Number, value: "12345678901234567890.000000000000001", want: "12345678901234567890.000000000000001"},
		{field: Number, value: json.Number("0.1"), want: "0.1"},
		{field: Number, value: 0.1, want: "0.1"},
		{field: Number, value: 1e20, want: "100000000000000000000"},
		{field: Number, value: 9007199254740993.0, code: "inexact"},
		{field: Number, value: 0.30000000000000004, code: "inexact"},
		{field: Number, value: "1e3", code: "number"},
		{field: Number, value: "1,5", code: "number"},
		{field: Number, value: "1.", code: "number"},
		{field: Number, value: ".5", code: "number"},
		{field: Number, value: "NaN", code: "number"},
		{field: Number, value: "0x10", code: "number"},
		{field: Number, value: "٣", code: "number"},
		{field: Number, value: strings.Repeat("9", 31), code: "range"},
		{field: Number, value: "0." + strings.Repeat("1", 16), code: "range"},
		{field: Number, value: strings.Repeat("0", 101), code: "too_long"},
		{field: Number, value: true, code: "type"},
		{field: Money, value: Map{"amount": "12.5", "currency": "eur"}, want: Map{"amount": "12.50", "currency": "EUR"}},
		{field: Money, value: Map{"amount": -3.0, "currency": "EUR"}, want: Map{"amount": "-3.00", "currency": "EUR"}},
		{field: Money, value: Map{"amount": "12", "currency": "JPY"}, want: Map{"amount": "12", "currency": "JPY"}},
		{field: Money, value: Map{"amount": "1.2345", "currency": "EUR"}, want: Map{"amount": "1.2345", "currency": "EUR"}},
		{field: Money, value: "1 KWD", want: Map{"amount": "1.000", "currency": "KWD"}},
		{field: Money, value: Map{"amount": "12.5", "currency": "XXX"}, code: "currency", at: ".currency"},
		{field: Money, value: Map{"amount": "12.5", "currency": "EURO"}, code: "currency", at: ".currency"},
		{field: Money, value: Map{"amount": "x", "currency": "EUR"}, code: "number", at: ".amount"},
		{field: Money, value: Map{"currency": "EUR"}, code: "type", at: ".amount"},
		{field: Money, value: Map{"amount": "1", "currency": "EUR", "tax": 1.0}, code: "unknown_field", at: ".tax"},
		{field: Money, value: 12.5, code: "type"},
		{field: Money, value: "12.50", code: "type"},
		{field: Date, value: "2024-02-29", want: "2024-02-29"},
		{field: Date, value: "2023-02-29", code: "date"},
		{field: Date, value: "0000-01-01", code: "date"},
		{field: Date, value: "29.02.2024", code: "date"},
		{field: DateTime, value: "2024-02-29T23:30:00.1234567-02:00", want: "2024-03-01T01:30:00.123456Z"},
		{field: DateTime, value: "2024-02-29T23:30:00", code: "datetime"},
		{field: DateTime, value: "9999-12-31T23:30:00-02:00", code: "datetime"},
		{field: Boolean, value: false, want: false},
		{field: Boolean, value: "Yes", want: true},
		{field: Boolean, value: 1.0, code: "type"},
		{field: OneOf, value: "gold", want: "gold"},
		{field: OneOf, value: " GOLD", want: "gold"},
		{field: OneOf, value: "silber", want: "silver"},
		{field: OneOf, value: "tin", code: "option"},
		{field: OneOf, value: "lead", code: "option"},
		{field: OneOf, value: []any{"gold"}, code: "type"},
		{field: SeveralOf, value: []any{"gold", "Silber", "gold"}, want: []any{"silver", "gold"}},
		{field: SeveralOf, value: []string{"gold"}, want: []any{"gold"}},
		{field: SeveralOf, value: []any{}},
		{field: SeveralOf, value: []any{"gold", "lead"}, code: "option", at: "[1]"},
		{field: SeveralOf, value: []any{"gold", 1.0}, code: "type", at: "[1]"},
		{field: SeveralOf, value: make([]any, 201), code: "too_many"},
		{field: SeveralOf, value: "gold", code: "type"},
		{field: Email, value: " a@example.com", want: "a@example.com"},
		{field: Email, value: "a@", code: "email"},
		{field: Phone, value: "+49 (0)30 / 123", want: "+49 (0)30 / 123"},
		{field: Phone, value: "call me", code: "phone"},
		{field: Phone, value: "+-1", code: "phone"},
		{field: Phone, value: strings.Repeat("1", 51), code: "too_long"},
		{field: URL, value: "example.com/a?b#c", want: "https://example.com/a?b#c"},
		{field: URL, value: "http://example.com:80", want: "http://example.com:80"},
		{field: URL, value: "javascript:alert(1)", code: "url"},
		{field: URL, value: "javascript://example.com/%0aalert(1)", code: "url"},
		{field: URL, value: "https://a:b@example.com", code: "url"},
		{field: URL, value: "https://localhost", code: "url"},
		{field: URL, value: "https://example.com/" + strings.Repeat("a", 2000), code: "too_long"},
		{field: Employee, value: strings.ToUpper(ann.String()), want: ann.String()},
		{field: Employee, value: bob.String(), code: "absent"},
		{field: Employee, value: acme.String(), code: "absent"},
		{field: Employee, value: nobody.String(), code: "absent"},
		{field: Employee, value: "ann", code: "id"},
		{field: Employee, value: uuid.Nil.String(), code: "id"},
		{field: Client, value: acme.String(), want: acme.String()},
		{field: Client, value: secret.String(), code: "absent"},
		{field: Client, value: ann.String(), code: "absent"},
		{field: Client, value: nobody.String(), code: "absent"},
	} {
		t.Run(fmt.Sprintf("%s %.40v", c.field, c.value), func(t *testing.T) {
			patch := Map{string(c.field): c.value}
			got, err := s.Merge(retail, nil, patch, false, w, seller)
			if c.code != "" {
				if want := fault("custom."+string(c.field)+c.at, c.code); !errors.Is(err, want) || got != nil {
					t.Errorf("%v, %v, want %v (%s)", got, err, want, want.Code)
				}
				return
			}
			want := Map{}
			if c.want != nil {
				want[string(c.field)] = c.want
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Errorf("(-want +got)\n%s\n%v", diff, err)
			}
		})
	}
}

package readapi

import (
	"testing"

	"annals/internal/eventlog"
)

func FuzzCursor(f *testing.F) {
	value := "x"
	f.Add("", "", 1)
	f.Add(cursor{Sort: "name", Values: []*string{nil, &value}, Level: 1, Back: true}.String(), "name", 2)
	f.Add("bnVsbA", "", 1)
	f.Add("W10", "", 0)
	f.Fuzz(func(t *testing.T, s, sort string, n int) {
		if n < 1 || n > 9 {
			return
		}
		c, err := parseCursor(s, sort, n)
		if err != nil {
			return
		}
		if c.Sort != sort || len(c.Values) != n || c.Values[n-1] == nil {
			t.Fatalf("%q is %+v", s, c)
		}
		q, keys := &query{}, make([]key, n)
		if past(q, keys, c.Values, c.Back) == "" || len(q.args) == 0 || len(q.args) > n {
			t.Errorf("%+v: %d values", c, len(q.args))
		}
		if again, err := parseCursor(c.String(), sort, n); err != nil || again.String() != c.String() {
			t.Errorf("%+v, and then %+v, %v", c, again, err)
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"0", "1/2", "-1", "9223372036854775807", "9223372036854775808", "/", "1/", "x", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := eventlog.ParsePosition(s)
		if err != nil {
			return
		}
		if again, err := eventlog.ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, and then %+v, %v", s, p, again, err)
		}
	})
}

package generate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"annals/domain"
	fields "annals/domain/field"
	"annals/domain/tag"
)

// tags are all that there are, the most common first.
func tags() []tag.Define {
	names := list("VIP, Newsletter, Prospect, Wholesale, Partner, Referral, Key account, Loyal, Overdue, Supplier, Press, Do not call")
	for _, season := range seasons {
		for y := range years {
			names = append(names, fmt.Sprintf("Campaign %s %d", season, start.Year()+y))
		}
	}
	for _, city := range list("Hanover, Milan, Lyon, Gdańsk, İzmir, Osaka, Busan, Shenzhen, Mumbai, Dubai, Haifa, Варна") {
		for y := range years {
			names = append(names, fmt.Sprintf("Fair %s %d", city, start.Year()+y))
		}
	}
	colours := list("#1a7f37, #0969da, #8250df, #bf3989, #cf222e, #bc4c00, #9a6700, #57606a")
	var all []tag.Define
	for i, name := range names {
		all = append(all, tag.Define{ID: derive(domain.System, "generate/tag/%s", name), Settings: tag.Settings{Name: name, Colour: colours[i%len(colours)]}})
	}
	return all
}

// someTags are names of tags, each once.
func (o *organisation) someTags(rnd *rand.Rand) []string {
	if percent(rnd, 35) {
		return nil
	}
	var out []string
	seen := map[string]bool{}
	for again := true; again; again = percent(rnd, 40) && len(out) < 8 {
		if name := zipf(rnd, o.tags).Name; !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// A customField is one of ours as it is in the log, and how often clients have something in it.
type customField struct {
	fields.Definition
	share int // of a hundred clients who have any
	value func(rnd *rand.Rand, d *fields.Definition, l *locale) any
}

// ours are the custom fields.
var ours = []customField{
	{
		fields.Definition{Key: "annual_orders", Type: fields.Number, Settings: fields.Settings{Label: "Orders a year", Group: "Business", Order: 10}},
		60, func(rnd *rand.Rand, _ *fields.Definition, _ *locale) any {
			return strconv.Itoa(1 + int(rnd.ExpFloat64()*12))
		},
	},
	{
		fields.Definition{Key: "credit_limit", Type: fields.Money, Settings: fields.Settings{Label: "Credit limit", Group: "Business", Order: 20}},
		45, func(rnd *rand.Rand, _ *fields.Definition, l *locale) any {
			return map[string]any{"amount": strconv.Itoa(500 * (1 + int(rnd.ExpFloat64()*10))), "currency": l.currency}
		},
	},
	{
		fields.Definition{Key: "contract_until", Type: fields.Date, Settings: fields.Settings{Label: "Contract until", Group: "Business", Order: 30}},
		50, func(rnd *rand.Rand, _ *fields.Definition, _ *locale) any {
			return until.AddDate(0, 0, rnd.IntN(1500)-500).Format(time.DateOnly)
		},
	},
	{
		fields.Definition{Key: "tier", Type: fields.OneOf, Settings: fields.Settings{Label: "Tier", Order: 5, Options: []fields.Option{
			{Key: "bronze", Label: "Bronze"}, {Key: "silver", Label: "Silver"}, {Key: "gold", Label: "Gold"}, {Key: "platinum", Label: "Platinum"},
		}}},
		70, func(rnd *rand.Rand, d *fields.Definition, _ *locale) any { return zipf(rnd, choices(d)) },
	},
	{
		fields.Definition{Key: "interests", Type: fields.SeveralOf, Settings: fields.Settings{Label: "Interests", Order: 6, Options: []fields.Option{
			{Key: "service", Label: "Service contracts"}, {Key: "spare_parts", Label: "Spare parts"}, {Key: "training", Label: "Training"}, {Key: "events", Label: "Events"},
		}}},
		25, func(rnd *rand.Rand, d *fields.Definition, _ *locale) any {
			return []any{pick(rnd, choices(d)), pick(rnd, choices(d))}
		},
	},
	{
		fields.Definition{Key: "loyalty_card", Type: fields.Text, Settings: fields.Settings{Label: "Loyalty card", Group: "Programme", Order: 40, Unique: true}},
		30, func(rnd *rand.Rand, _ *fields.Definition, _ *locale) any { return fill(rnd, "LC-????-######") },
	},
	{
		fields.Definition{Key: "invoices_by_post", Type: fields.Boolean, Settings: fields.Settings{Label: "Invoices by post", Group: "Programme", Order: 50}},
		35, func(rnd *rand.Rand, _ *fields.Definition, _ *locale) any { return percent(rnd, 30) },
	},
}

func choices(d *fields.Definition) []string {
	var keys []string
	for _, o := range d.Options {
		if !o.Retired {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

func fieldDefinitions() []fields.Define {
	var all []fields.Define
	for _, f := range ours {
		all = append(all, fields.Define{ID: derive(domain.System, "generate/field/%s", f.Key), Key: f.Key, Type: f.Type, Settings: f.Settings})
	}
	return all
}

// usable are those of our fields that the world has, as it has them.
func usable(w domain.World) []customField {
	var out []customField
	for _, d := range domain.Look[fields.State](w, fields.Ref()).For(domain.ID{}) {
		for _, f := range ours {
			if f.Key == d.Key && f.Type == d.Type {
				out = append(out, customField{d, f.share, f.value})
			}
		}
	}
	return out
}

// custom is what somebody has in custom fields, nil for nothing.
func (g *Generator) custom(rnd *rand.Rand, l *locale) map[string]any {
	if !percent(rnd, 35) {
		return nil
	}
	values := map[string]any{}
	for i := range g.fields {
		if f := &g.fields[i]; percent(rnd, f.share) {
			values[f.Key] = f.value(rnd, &f.Definition, l)
		}
	}
	return values
}

package field

import (
	"reflect"
	"regexp"
	"slices"

	"annals/domain"
)

const mostOptions = 200

var optionPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$`)

// check brings the settings into the form in which they are stored, and says what is
// wrong with them, now that they were others.
func (d *Definition) check(was Settings) error {
	var f domain.Faults
	d.Label, d.Help, d.Group = domain.Text(d.Label), domain.LongText(d.Help), domain.Text(d.Group)
	f.Add(domain.CheckName("label", d.Label, 100))
	f.Add(domain.CheckText("help", d.Help, 1000))
	f.Add(domain.CheckText("group", d.Group, 100))
	if d.Order < -100_000 || d.Order > 100_000 {
		f.Add(domain.Fault("order", "range", "has to be from -100000 to 100000"))
	}
	options := d.checkOptions(was.Options)
	f.Add(options)
	if options == nil && (!reflect.DeepEqual(d.Default, was.Default) || !reflect.DeepEqual(d.Options, was.Options)) {
		f.Add(d.checkDefault())
	}
	return f.Err()
}

func (d *Definition) checkDefault() error {
	if d.Default == nil {
		return nil
	}
	if d.Type == Employee || d.Type == Client {
		return domain.Fault("default", "not_allowed", "is not for this type: who or what it names can cease to be there")
	}
	v, err := d.normal("default", d.Default, nil)
	d.Default = v
	return err
}

func (d *Definition) checkOptions(was []Option) error {
	var f domain.Faults
	switch choice := d.Type == OneOf || d.Type == SeveralOf; {
	case !choice && len(d.Options) > 0:
		return domain.Fault("options", "not_allowed", "are for the types one_of and several_of")
	case !choice:
		d.Options = nil
		return nil
	case len(d.Options) > mostOptions:
		return domain.Fault("options", "too_many", "has %d options, at most %d are allowed", len(d.Options), mostOptions)
	}
	options := slices.Clone(d.Options)
	keys, labels, choosable := map[string]bool{}, map[string]bool{}, false
	for i := range options {
		o, at := &options[i], domain.At("options", i)
		o.Label = domain.Text(o.Label)
		folded := domain.Fold(o.Key)
		switch {
		case !optionPattern.MatchString(o.Key):
			f.Add(domain.Fault(at+".key", "malformed", "has to be 1 to 50 letters, digits, - and _, beginning with a letter or digit"))
		case keys[folded]:
			f.Add(domain.Fault(at+".key", "repeated", "is there twice"))
		}
		keys[folded] = true
		f.Add(domain.CheckName(at+".label", o.Label, 100))
		if label := domain.Fold(o.Label); !o.Retired {
			if labels[label] {
				f.Add(domain.Fault(at+".label", "repeated", "is there twice"))
			}
			labels[label], choosable = true, true
		}
	}
	if !choosable {
		f.Add(domain.Fault("options", "required", "are required for the types one_of and several_of: one at least that is not retired"))
	}
	for _, o := range was {
		if !slices.ContainsFunc(options, func(n Option) bool { return n.Key == o.Key }) {
			f.Add(domain.Fault("options", "missing", "leaves out %q, which clients may have: send it with retired: true", o.Key))
		}
	}
	d.Options = options
	return f.Err()
}

// option is the one that a text means: by its key, or by its label, as in a file that
// people have made. A retired one counts for those only who have it.
func (d *Definition) option(text string, had bool) (string, bool) {
	for _, o := range d.Options {
		if o.Key == text && (!o.Retired || had) {
			return o.Key, true
		}
	}
	folded := domain.Fold(text)
	for _, o := range d.Options {
		if !o.Retired && (domain.Fold(o.Key) == folded || domain.Fold(o.Label) == folded) {
			return o.Key, true
		}
	}
	return "", false
}

package attached

import (
	"slices"
	"strings"
	"unicode"

	"annals/domain"
)

// Mentioning is a command with a text in which colleagues can be mentioned.
type Mentioning interface {
	// Markdown is that text.
	Markdown() string
}

// Assigning is a command that gives an employee something to do.
type Assigning interface {
	// Assignee is that employee; the zero ID is nobody.
	Assignee() domain.ID
}

// People are the employees whom a command names, with what they may do at this moment:
// it takes more than aggregates to know that. Who is not active is nobody.
type People struct {
	Mentions []Mention
	Assignee domain.Authority
}

// A Mention is what a text calls a colleague.
type Mention struct {
	Typed string             // as it stands in the text: @ and a name, or the text of a link
	Who   []domain.Authority // whom it may mean: several where several are called so
}

// MostMentions is how many colleagues one text can mention.
const MostMentions = 50

// Mentioned are those whom the command's text mentions and who have not been told yet,
// sorted. It faults the text where somebody is mentioned who may not see the client, and
// where nobody could say who of several is meant. What stood in the text before is not
// held against it: who has moved on since does not keep anybody from correcting a word.
func (in Context) Mentioned(field, before string, told []domain.ID) ([]domain.ID, error) {
	if len(in.People.Mentions) > MostMentions {
		return nil, domain.Fault(field, "too_many_mentions", "mentions more than %d colleagues", MostMentions)
	}
	var f domain.Faults
	var ids []domain.ID
	for _, m := range in.People.Mentions {
		var may []domain.ID
		for _, who := range m.Who {
			if who.May(domain.ClientsView, in.Client.Place()) {
				may = append(may, who.ID)
			}
		}
		switch known := func(id domain.ID) bool { return slices.Contains(told, id) }; {
		case len(may) == 1:
			if !known(may[0]) {
				ids = append(ids, may[0])
			}
		case slices.ContainsFunc(m.Who, func(a domain.Authority) bool { return known(a.ID) }), says(before, m.Typed):
		case len(may) == 0:
			f.Add(domain.Fault(field, "mention", "mentions %s, who may not see this client", m.Typed))
		default:
			f.Add(domain.Fault(field, "mention", "mentions %s, and %d colleagues who see this client are called so: say which, as in [%s](employee:ID)",
				m.Typed, len(may), strings.TrimPrefix(m.Typed, "@")))
		}
	}
	slices.SortFunc(ids, domain.CompareIDs)
	return slices.Compact(ids), f.Err()
}

// says whether a text holds typed as a word of its own.
func says(text, typed string) bool {
	text, typed = strings.ToLower(text), strings.ToLower(typed)
	for typed != "" {
		_, after, found := strings.Cut(text, typed)
		if !found {
			return false
		}
		if rest := strings.TrimLeft(after, ".-+_"); !strings.HasPrefix(typed, "@") || !strings.ContainsFunc(first(rest), isName) {
			return true
		}
		text = after
	}
	return false
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func isName(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// CheckAssignee faults a field that names somebody who cannot be given what belongs to
// the client: who is not active, or may not see the client. Which of the two, and whether
// there is such an employee, is told nobody.
func (in Context) CheckAssignee(field string, id domain.ID) error {
	who := in.People.Assignee
	if id == (domain.ID{}) || who.ID == id && who.May(domain.ClientsView, in.Client.Place()) {
		return nil
	}
	return domain.Fault(field, "no_access", "%s is no employee who is active and may see this client", id)
}

// Told are the ids of all who have been told, sorted.
func Told(told, more []domain.ID) []domain.ID {
	all := append(slices.Clone(told), more...)
	slices.SortFunc(all, domain.CompareIDs)
	return slices.Compact(all)
}

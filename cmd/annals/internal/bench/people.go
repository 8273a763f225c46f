package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"

	"annals/domain"
	"annals/domain/client"
)

// Names as varied as those of a list of clients: what is searched for is neither
// in all rows nor in one only.
var (
	firstNames = []string{"Aoife", "Björn", "Chiara", "Dmitri", "Elena", "Fatima", "Giulia", "Hiroshi", "Ines", "Jonas", "Katarzyna", "Liam", "Mira", "Noor", "Olga", "Pavel", "Quentin", "Rania", "Søren", "Tariq", "Ulrike", "Viktor", "Wanda", "Ximena", "Yusuf", "Zoë"}
	lastParts  = []string{"an", "berg", "co", "da", "els", "fer", "gar", "hof", "iva", "jan", "kow", "lin", "mar", "nov", "ost", "pet", "ros", "sen", "tor", "ves"}
	cities     = []string{"Varna", "Vigo", "Gdańsk", "Cork", "Malmö", "Genova", "Rotterdam", "Lyon", "Porto", "Zürich", "Łódź", "Tartu"}
	countries  = []string{"Bulgaria", "Spain", "Poland", "Ireland", "Sweden", "Italy", "Netherlands", "France", "Portugal", "Switzerland", "Poland", "Estonia"}
	trades     = []string{"Shipping", "Bakery", "Consulting", "Logistics", "Optics", "Publishing", "Textiles", "Vineyards"}
	tagNames   = []string{"vip", "newsletter", "fair 2026", "referral", "overdue", "partner", "wholesale", "dormant"}
)

// person is the n-th client, always the same: four of five are persons.
func person(n int) client.Details {
	rnd := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // the same people every time
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	last := pick(lastParts) + pick(lastParts) + pick(lastParts)
	last = string(last[0]-'a'+'A') + last[1:]
	place := rnd.IntN(len(cities))
	d := client.Details{
		Type: client.Person, FirstName: pick(firstNames), LastName: last,
		Phone: phone(n, 0),
		Address: client.Address{
			Street: fmt.Sprintf("%s Street %d", pick(lastParts)+pick(lastParts), 1+rnd.IntN(200)), City: cities[place],
			PostalCode: fmt.Sprintf("%05d", rnd.IntN(100_000)), Country: countries[place],
		},
	}
	d.Email = fmt.Sprintf("%s.%d@%s.example", lower(last), n, pick(lastParts)+pick(lastParts))
	switch rnd.IntN(5) {
	case 0:
		d.Type, d.FirstName, d.LastName = client.Company, "", ""
		d.Company = last + " " + pick(trades)
		d.Website = "https://" + lower(last) + ".example"
	case 1:
		d.Company = last + " " + pick(trades)
	}
	return d
}

// phone is the n-th client's after that many edits.
func phone(n, edits int) string {
	return fmt.Sprintf("+49 %03d %07d", (n/7+13*edits)%1000, (n*31+edits)%10_000_000)
}

func lower(ascii string) string { return string(ascii[0]-'A'+'a') + ascii[1:] }

// places are where clients can be: desks of projects, and who works there.
type places struct {
	projects []domain.ID
	desks    [][]domain.ID // by project
	managers []domain.ID   // each works for all of them
}

// somewhere is where a client might belong: one in ten on no desk, one in four
// without manager.
func (p places) somewhere(rnd *rand.Rand) client.Assignment {
	project := rnd.IntN(len(p.projects))
	a := client.Assignment{ProjectID: p.projects[project]}
	if rnd.IntN(10) > 0 {
		a.DeskID = p.desks[project][rnd.IntN(len(p.desks[project]))]
	}
	if rnd.IntN(4) > 0 {
		a.ManagerID = p.managers[rnd.IntN(len(p.managers))]
	}
	return a
}

// somePlaces are places that nobody has created.
func somePlaces() places {
	var p places
	for range 8 {
		p.projects = append(p.projects, uuid.New())
		p.desks = append(p.desks, []domain.ID{uuid.New(), uuid.New(), uuid.New()})
	}
	for range 40 {
		p.managers = append(p.managers, uuid.New())
	}
	return p
}

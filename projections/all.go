package projections

import "fmt"

// All is every read model, sorted by name.
var All = []*Projector{
	access,
	accessLog,
	activities,
	clients,
	erasures,
	favourites,
	history,
	notifications,
	organisation,
	related,
	settings,
	templates,
	views,
}

// find returns the projector of that name.
func find(all []*Projector, name string) (*Projector, error) {
	var names []string
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("there is no projector %q, only %v", name, names)
}

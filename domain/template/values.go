package template

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"annals/domain/client"
)

// Values are what placeholders stand for: all that is text in the client's details, by
// the path that it has in JSON (client.address.city), what is in its maps by key
// (client.custom.KEY), client.name, and who writes.
type Values struct {
	Client        client.Details
	EmployeeName  string
	EmployeeEmail string
	ProjectName   string
}

// Placeholders are all that there are, without those whose keys are free.
func Placeholders() []string {
	all := []string{"client.name", "employee.email", "employee.name", "project.name"}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		for f := range t.Fields() {
			switch name := path + "." + jsonName(f); f.Type.Kind() { //nolint:exhaustive // the others are no placeholders
			case reflect.String:
				all = append(all, name)
			case reflect.Struct:
				walk(f.Type, name)
			}
		}
	}
	walk(details, "client")
	slices.Sort(all)
	return all
}

var (
	details      = reflect.TypeFor[client.Details]()
	placeholders = Placeholders()
)

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// known says whether there is such a placeholder.
func known(path string) bool {
	_, key, ok := keyed(path)
	return ok && key != "" || slices.Contains(placeholders, path)
}

// keyed is the map of the details that a path leads into, and the key in it.
func keyed(path string) (field int, key string, ok bool) {
	inner, isClient := strings.CutPrefix(path, "client.")
	name, key, _ := strings.Cut(inner, ".")
	for i := range details.NumField() {
		f := details.Field(i)
		if isClient && f.Type.Kind() == reflect.Map && f.Type.Key() == reflect.TypeFor[string]() && jsonName(f) == name {
			return i, key, true
		}
	}
	return 0, "", false
}

// at is the value at a path, empty where there is none.
func (v Values) at(path string) string {
	switch path {
	case "client.name":
		return v.Client.Name()
	case "employee.name":
		return v.EmployeeName
	case "employee.email":
		return v.EmployeeEmail
	case "project.name":
		return v.ProjectName
	}
	all := reflect.ValueOf(v.Client)
	if i, key, ok := keyed(path); ok {
		value := all.Field(i).MapIndex(reflect.ValueOf(key))
		if !value.IsValid() {
			return ""
		}
		return words(value.Interface())
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(path, "client."), ".") {
		at := -1
		for i := range all.NumField() {
			if jsonName(all.Type().Field(i)) == name {
				at = i
			}
		}
		if at < 0 {
			return ""
		}
		if all = all.Field(at); all.Kind() != reflect.Struct {
			break
		}
	}
	if all.Kind() != reflect.String {
		return ""
	}
	return all.String()
}

// words is a value of a custom field as text.
func words(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, words(one))
		}
		return strings.Join(all, ", ")
	case map[string]any: // an amount of money
		amount, currency := words(v["amount"]), words(v["currency"])
		return strings.TrimSpace(amount + " " + currency)
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}

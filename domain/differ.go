package domain

import (
	"reflect"
	"time"
)

// Differ is what differs between two values of a struct of exported fields, each side for itself: fields
// that are alike are left empty on both. Times are alike when they are the same moment.
func Differ[T any](from, to T) (was, is T) {
	each(&from, &to, func(i int, a, b reflect.Value) {
		reflect.ValueOf(&was).Elem().Field(i).Set(a)
		reflect.ValueOf(&is).Elem().Field(i).Set(b)
	})
	return was, is
}

// Amend is v after what [Differ] told: fields that differ between the sides have changed.
func Amend[T any](v, was, is T) T {
	each(&was, &is, func(i int, _, b reflect.Value) { reflect.ValueOf(&v).Elem().Field(i).Set(b) })
	return v
}

// each calls f with every field of the structs that differs.
func each[T any](a, b *T, f func(i int, a, b reflect.Value)) {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if !alike(x.Field(i), y.Field(i)) {
			f(i, x.Field(i), y.Field(i))
		}
	}
}

func alike(a, b reflect.Value) bool {
	if t, ok := reflect.TypeAssert[time.Time](a); ok {
		u, _ := reflect.TypeAssert[time.Time](b)
		return t.Equal(u)
	}
	return a.Equal(b)
}

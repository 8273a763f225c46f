//go:build !linux

package postgres

import "syscall"

// passThrough needs Linux's capabilities; elsewhere the data goes to another folder.
func passThrough(*syscall.SysProcAttr) {}

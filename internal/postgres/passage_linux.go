package postgres

import "syscall"

// capDacReadSearch lets a process read files and pass folders whatever their mode (capabilities(7)).
const capDacReadSearch = 2

// passThrough lets the process pass folders that are closed to its user: data below a home of root's with mode
// 0700. The server's own SQL user is no superuser, and cannot read files through it.
func passThrough(attr *syscall.SysProcAttr) { attr.AmbientCaps = []uintptr{capDacReadSearch} }

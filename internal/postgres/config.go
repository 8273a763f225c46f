package postgres

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func (p place) conf() string { return filepath.Join(p.base, "postgresql.conf") }

// configure writes postgresql.conf, anew at each start.
func (s *Server) configure(ctx context.Context) error {
	p, e := s.place, s.endpoint
	set := settings(memory(), s.cfg.MaxConnections, s.bin.major)
	if s.hasLZ4(ctx) {
		set["wal_compression"], set["default_toast_compression"] = "lz4", "lz4"
	}
	set["cluster_name"] = p.clusterName()
	set["port"] = strconv.Itoa(e.Port)
	set["listen_addresses"], set["unix_socket_directories"] = e.Host, ""
	if e.socket() {
		set["listen_addresses"], set["unix_socket_directories"] = "", e.Host
	}
	maps.Copy(set, s.cfg.Settings)

	var b strings.Builder
	b.WriteString("# Written by annals at each start. Your own settings go into custom.conf beside this file, and win.\n")
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(set[name]))
	}
	if _, err := os.Stat(filepath.Join(p.base, "custom.conf")); err == nil {
		b.WriteString("include 'custom.conf'\n")
	}
	// No secret is in it, and another user must read it.
	return writeFile(p.conf(), []byte(b.String()), 0o644)
}

// settings are for a durable server with one busy database on a small machine, which it shares with annals.
func settings(mem int64, connections, major int) map[string]string {
	set := map[string]string{ //nolint:gosec // "password_encryption" is no password
		"max_connections":      strconv.Itoa(connections),
		"shared_buffers":       megabytes(mem/8, 64, 1024),
		"effective_cache_size": megabytes(mem/2, 256, 1<<20),
		"maintenance_work_mem": megabytes(mem/32, 32, 512),
		"autovacuum_work_mem":  megabytes(mem/64, 32, 256),
		"work_mem":             megabytes(mem/512, 4, 32),
		"jit":                  "off", // compiles longer than our queries run
		"random_page_cost":     "1.1",
		"password_encryption":  "scram-sha-256",
		"timezone":             "UTC",
		"log_timezone":         "UTC",

		// What is acknowledged is on disk.
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		// Nobody replicates from a private server; but with "minimal" PostgreSQL gives out the numbers of a sequence
		// again after a crash, when the first was taken in the transaction that made it.
		"wal_level": "replica", "max_wal_senders": "0",
		"wal_compression": "on",
		// A crash replays at most this much, and writes what it changed: about 1 s per 100 MB (BenchmarkRecovery).
		"max_wal_size": "320MB", "min_wal_size": "128MB",
		"checkpoint_timeout": "5min",

		// The log only grows: freeze it as it does, not years later at once. Checkpoint rows and queues are
		// rewritten all the time: vacuum them soon.
		"autovacuum_naptime":                    "15s",
		"autovacuum_vacuum_scale_factor":        "0.05",
		"autovacuum_vacuum_insert_scale_factor": "0.1",
		"autovacuum_analyze_scale_factor":       "0.02",
		"autovacuum_vacuum_cost_limit":          "1000",

		// The log must not hold what the tables hold: neither statements nor the values in a DETAIL.
		"logging_collector":       "off",
		"log_error_verbosity":     "terse",
		"log_min_error_statement": "panic",
		"log_checkpoints":         "off",
		"log_line_prefix":         "%m [%p] %q%u@%d ",
	}
	if runtime.GOOS == "linux" {
		set["effective_io_concurrency"] = "200"
		if major >= 14 {
			set["recovery_init_sync_method"] = "syncfs" // one call, where the default opens every file
			// A killed annals must not hold its locks until its last query ends.
			set["client_connection_check_interval"] = "1s"
		}
	}
	return set
}

// hasLZ4 asks the server, which may be built without: it compresses WAL for a third of the default's price.
func (s *Server) hasLZ4(ctx context.Context) bool {
	return s.bin.major >= 15 && s.place.account.command(ctx, s.place.base, filepath.Join(s.bin.dir, "postgres"), "-C", "wal_compression",
		"-D", s.place.data(), "-c", "config_file=/dev/null", "-c", "wal_compression=lz4").Run() == nil
}

func megabytes(bytes, least, most int64) string {
	return strconv.FormatInt(min(max(bytes>>20, least), most), 10) + "MB"
}

// memory is what this machine, or the container we are in, has. Where it cannot be told, we assume 2 GiB.
func memory() int64 {
	least := int64(0)
	note := func(bytes int64, err error) {
		if err == nil && bytes > 0 && (least == 0 || bytes < least) {
			least = bytes
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 && f[0] == "MemTotal:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			note(kb<<10, err)
		}
	}
	for _, limit := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(limit); err == nil { //nolint:gosec // constants
			note(strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)) // "max" is no number
		}
	}
	if least == 0 {
		return 2 << 30
	}
	return least
}

// Package postgres finds, starts and supervises a private PostgreSQL.
package postgres

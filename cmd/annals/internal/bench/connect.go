package bench

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
)

// connect opens a connection with these run-time parameters; the function closes it.
func connect(ctx context.Context, url string, params map[string]string) (*pgx.Conn, func(), error) {
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	maps.Copy(conf.RuntimeParams, params)
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	return conn, func() { _ = conn.Close(context.WithoutCancel(ctx)) }, nil
}

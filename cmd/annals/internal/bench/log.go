package bench

import (
	"context"
	"errors"
	"time"

	"annals/eventschema"
	"annals/internal/esnode"
	"annals/internal/eventlog"
)

// openLog starts a node over the log in a database; done ends both.
func (r *run) openLog(ctx context.Context, url string, master eventschema.Master) (log *eventlog.Log, done func() error, err error) {
	node, err := esnode.Start(ctx, esnode.Config{Listen: "127.0.0.1:0", Database: url, Logger: r.Logger})
	if err != nil {
		return nil, nil, err
	}
	end := func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return node.Close(closing)
	}
	log, err = eventlog.Open(eventlog.Config{ConnectionString: node.ConnectionString(), Master: master, Logger: r.Logger})
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return log, func() error { log.Close(); return end() }, nil
}

package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"annals/internal/eventlog"
)

type key struct{}

// RunOf returns the run that msg carries.
func RunOf(msg *message.Message) Run {
	run, _ := msg.Context().Value(key{}).(Run)
	return run
}

// Message returns a message that carries run, and nothing that could be published:
// it is a range of the log, not a copy of it.
func Message(ctx context.Context, topic string, run Run) *message.Message {
	msg := message.NewMessage(fmt.Sprintf("%s:%s", topic, run.From), nil)
	msg.SetContext(context.WithValue(ctx, key{}, run))
	return msg
}

// Config is what a [Subscriber] needs.
type Config struct {
	Source Source
	// Start answers how far the reader that is named by the topic has got. It is
	// asked at first, after every failure, and whenever a run was refused.
	Start      func(ctx context.Context, topic string) (eventlog.Position, error)
	MaxRecords int // in a run; [DefaultRecords] if zero
	// Failed is told why delivery was interrupted, and goes on after a while. Nil
	// for nobody.
	Failed func(ctx context.Context, err error)
}

// Subscriber delivers the log to the handlers of a Watermill router, a run a
// message. Neither the log nor the place where the position is kept being away
// ends a subscription: only its context and Close do.
type Subscriber struct {
	cfg    Config
	closed chan struct{}
	once   sync.Once
}

var _ message.Subscriber = (*Subscriber)(nil)

// New returns a Subscriber.
func New(cfg Config) *Subscriber {
	if cfg.Failed == nil {
		cfg.Failed = func(context.Context, error) {}
	}
	return &Subscriber{cfg: cfg, closed: make(chan struct{})}
}

// Close ends all subscriptions.
func (s *Subscriber) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Subscribe starts delivery for the reader named topic. The channel closes when
// ctx ends or the subscriber is closed.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-s.closed:
		case <-ctx.Done():
		}
	}()
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		defer cancel()
		var wait backoff
		for ctx.Err() == nil {
			err := s.follow(ctx, topic, out, &wait)
			if err == nil || ctx.Err() != nil {
				continue
			}
			s.cfg.Failed(ctx, fmt.Errorf("feed of %s: %w", topic, err))
			wait.sleep(ctx)
		}
	}()
	return out, nil
}

// follow delivers runs from where the reader has got to. It returns nil when a
// refused run shows that the reader is elsewhere.
func (s *Subscriber) follow(ctx context.Context, topic string, out chan<- *message.Message, wait *backoff) error {
	at, err := s.cfg.Start(ctx, topic)
	if err != nil {
		return fmt.Errorf("position of %s: %w", topic, err)
	}
	for run, err := range Runs(ctx, s.cfg.Source, at, s.cfg.MaxRecords) {
		if err != nil {
			return err
		}
		for !s.deliver(ctx, topic, out, run) {
			wait.sleep(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			at, err := s.cfg.Start(ctx, topic)
			if err != nil {
				return fmt.Errorf("position of %s: %w", topic, err)
			}
			if at != run.From {
				return nil
			}
		}
		*wait = 0
	}
	return errors.New("the log ended its subscription without a word")
}

// deliver sends run and reports whether it was acked.
func (s *Subscriber) deliver(ctx context.Context, topic string, out chan<- *message.Message, run Run) bool {
	msg := Message(ctx, topic, run)
	select {
	case out <- msg:
	case <-ctx.Done():
		return false
	}
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
		return false
	case <-ctx.Done():
		return false
	}
}

// backoff is how long to wait after a failure: from 50 ms, doubling to two
// seconds, each time between half of it and all of it.
type backoff time.Duration

func (b *backoff) sleep(ctx context.Context) {
	*b = min(max(2**b, backoff(50*time.Millisecond)), backoff(2*time.Second))
	half := int64(*b) / 2
	timer := time.NewTimer(time.Duration(half + rand.Int64N(half+1))) //nolint:gosec // jitter
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

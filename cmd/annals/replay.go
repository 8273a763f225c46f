package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"annals/internal/eventlog"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client ID",
		Short: "Tell a client's story: each event with who, when, and the state after it",
		Args:  wantArgs(1),
	}
	server := remoteFlags(cmd, true)
	revision := cmd.Flags().Int64("revision", -1, "stop after this revision")
	asOf := cmd.Flags().String("as-of", "", "stop after this moment: a time as in 2026-01-31T15:04:05Z, or a date with all of its day")
	position := cmd.Flags().String("position", "", "stop after this position of the log")
	differences := cmd.Flags().Bool("diff", false, "of each step only what it changed")
	activities := cmd.Flags().Bool("activities", false, "what belongs to the client as well: notes, actions and so on, in the order of the log, and at last what all of it came to")
	asJSON := cmd.Flags().Bool("json", false, "print a line of JSON per event")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usage("%q is not a client's id", args[0])
		}
		q := url.Values{}
		if cmd.Flags().Changed("revision") {
			if *revision < 0 {
				return usage("--revision: counts from 0")
			}
			q.Set("revision", strconv.FormatInt(*revision, 10))
		}
		if *asOf != "" {
			t, err := parseMoment(*asOf)
			if err != nil {
				return err
			}
			q.Set("as_of", t.Format(time.RFC3339Nano))
		}
		if *position != "" {
			if _, err := eventlog.ParsePosition(*position); err != nil {
				return usage("--position: %v", err)
			}
			q.Set("position", *position)
		}
		if *activities {
			q.Set("with", "activities")
		}
		res, err := r.do(cmd.Context(), http.MethodGet, "/api/v1/clients/"+id.String()+"/replay?"+q.Encode(), nil)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read only
		return tell(cmd.OutOrStdout(), res.Body, *asJSON, *differences)
	}
	return group("replay", "Tell what happened, from the log itself", cmd,
		replayFromLog("project ID", "Tell what the clients of a project were, and who of them was there", 1),
		replayFromLog("all", "Tell what all clients were", 0))
}

func parseMoment(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, usage("--as-of: %q is neither a time as in 2026-01-31T15:04:05Z nor a date as in 2026-01-31", s)
	}
	return t.AddDate(0, 0, 1).Add(-time.Nanosecond), nil
}

// step is a line of the server's answer.
type step struct {
	Revision int64
	Type     string
	At       time.Time
	Actor    struct{ ID, Name string }
	Erased   []string
	Of       *struct{ Kind, ID string } // what belongs to the client
	Event    map[string]any
	State    map[string]any
	End      *struct {
		Position   string
		State      map[string]any
		Activities map[string]int
	}
	Error string
}

// tell prints the lines as they are, or for people.
func tell(w io.Writer, lines io.Reader, asJSON, differences bool) error {
	in := bufio.NewScanner(lines)
	in.Buffer(nil, 4<<20)
	var before map[string]any
	for in.Scan() {
		var s step
		if err := json.Unmarshal(in.Bytes(), &s); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		if s.Error != "" {
			return fmt.Errorf("answer: %s", s.Error)
		}
		if asJSON {
			if _, err := fmt.Fprintln(w, in.Text()); err != nil {
				return err
			}
			continue
		}
		var err error
		switch {
		case s.End != nil:
			err = tellEnd(w, s)
		case s.Of != nil:
			err = tellActivity(w, s)
		default:
			now := flatten("", s.State)
			err = tellStep(w, s, before, now, differences)
			before = now
		}
		if err != nil {
			return err
		}
	}
	return in.Err()
}

// headline is when what happened, and who did it.
func (s step) headline() string {
	who := s.Actor.Name
	if who == "" {
		who = s.Actor.ID
	}
	return fmt.Sprintf("%s  %s  by %s", s.At.UTC().Format("2006-01-02 15:04:05.000000Z"), s.Type, who)
}

// tellActivity prints an event of what belongs to the client: what it says, since what
// it changed would take remembering everything.
func tellActivity(w io.Writer, s step) error {
	if _, err := fmt.Fprintf(w, "   %s  (%s, revision %d)\n", s.headline(), s.Of.ID, s.Revision); err != nil {
		return err
	}
	delete(s.Event, "client_id")
	fields := flatten("", s.Event)
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if _, err := fmt.Fprintf(w, "     %s: %v\n", field, fields[field]); err != nil {
			return err
		}
	}
	if len(s.Erased) > 0 {
		if _, err := fmt.Fprintf(w, "     erased: %s\n", strings.Join(s.Erased, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// tellEnd prints what all of it came to.
func tellEnd(w io.Writer, s step) error {
	if _, err := fmt.Fprintf(w, "in the end, at position %s of the log\n", s.End.Position); err != nil {
		return err
	}
	fields := flatten("", s.End.State)
	for kind, n := range s.End.Activities {
		fields[kind+" (how many)"] = n
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if _, err := fmt.Fprintf(w, "     %s: %v\n", field, fields[field]); err != nil {
			return err
		}
	}
	return nil
}

// tellStep prints an event and what the client was after it, or only what that changed.
func tellStep(w io.Writer, s step, before, now map[string]any, differences bool) error {
	if _, err := fmt.Fprintf(w, "%d  %s\n", s.Revision, s.headline()); err != nil {
		return err
	}
	all := maps.Clone(now)
	maps.Copy(all, before)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		was, is := before[field], now[field]
		mark := " "
		switch {
		case is == nil:
			mark = "-"
		case was == nil:
			mark = "+"
		case fmt.Sprint(was) != fmt.Sprint(is):
			mark = "~"
		}
		if mark == " " && differences {
			continue
		}
		value := fmt.Sprint(is)
		switch mark {
		case "-":
			value = fmt.Sprint(was)
		case "~":
			value = fmt.Sprintf("%v → %v", was, is)
		}
		if _, err := fmt.Fprintf(w, "   %s %s: %s\n", mark, field, value); err != nil {
			return err
		}
	}
	if len(s.Erased) > 0 {
		if _, err := fmt.Fprintf(w, "     erased: %s\n", strings.Join(s.Erased, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// flatten writes inner fields as outer.inner, and lists as one text.
func flatten(prefix string, m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			maps.Copy(out, flatten(prefix+k+".", v))
		case []any:
			if len(v) > 0 {
				words := make([]string, len(v))
				for i := range v {
					words[i] = fmt.Sprint(v[i])
				}
				out[prefix+k] = strings.Join(words, ", ")
			}
		default:
			out[prefix+k] = v
		}
	}
	return out
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func accessCommand() *cobra.Command {
	return group("access", "Tell who was shown what of clients",
		accessLogCommand("client", "Who was shown what of a client, the latest first", "clients"),
		accessLogCommand("employee", "What an employee was shown of clients, the latest first", "employees"))
}

func accessLogCommand(of, short, path string) *cobra.Command {
	cmd := &cobra.Command{Use: of + " ID", Short: short, Args: wantArgs(1)}
	server := remoteFlags(cmd, true)
	actor := cmd.Flags().String("actor", "", "only what this employee or API key was shown")
	kinds := cmd.Flags().StringSlice("kind", nil, "only these kinds of looks, as record, documents, search")
	from := cmd.Flags().String("from", "", "from this time on, as in 2026-01-31T15:04:05Z")
	to := cmd.Flags().String("to", "", "before this time")
	asJSON := cmd.Flags().Bool("json", false, "print a line of JSON per look")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usage("%q is not the id of a%s", args[0], map[string]string{"client": " client", "employee": "n employee"}[of])
		}
		q := url.Values{"limit": {"500"}}
		for name, value := range map[string]string{"actor": *actor, "from": *from, "to": *to} {
			if value != "" {
				q.Set(name, value)
			}
		}
		q["kind"] = *kinds
		for {
			page, err := r.looks(cmd, "/api/v1/"+path+"/"+id.String()+"/access-log?"+q.Encode())
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				if err := tellLook(cmd.OutOrStdout(), item, *asJSON); err != nil {
					return err
				}
			}
			if page.Next == "" {
				return nil
			}
			q.Set("cursor", page.Next)
		}
	}
	return cmd
}

type lookPage struct {
	Items []json.RawMessage
	Next  string `json:"next_cursor"`
}

func (r remote) looks(cmd *cobra.Command, path string) (page lookPage, err error) {
	res, err := r.do(cmd.Context(), http.MethodGet, path, nil)
	if err != nil {
		return page, err
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		return page, fmt.Errorf("answer: %w", err)
	}
	return page, nil
}

// tellLook prints a look as it is, or for people.
func tellLook(w io.Writer, raw json.RawMessage, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintln(w, string(raw))
		return err
	}
	var l struct {
		At                time.Time
		Kind, IP          string
		Actor, Employee   struct{ ID, Name string }
		Clients           []string
		Count             int
		Item, AsOf        string
		Searched, Filters int
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	who := l.Actor.Name
	if l.Employee.ID != l.Actor.ID {
		who += " of " + l.Employee.Name
	}
	line := fmt.Sprintf("%s  %-10s  %s  from %s", l.At.Format(time.RFC3339), l.Kind, who, l.IP)
	if l.Count > 1 {
		line += fmt.Sprintf("  %d clients", l.Count)
	}
	if len(l.Clients) > 0 {
		line += "  " + strings.Join(l.Clients, " ")
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

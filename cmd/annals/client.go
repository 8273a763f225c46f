package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// remote is a server that a subcommand talks to.
type remote struct{ url, token string }

// remoteFlags adds --url and --token to a command.
func remoteFlags(cmd *cobra.Command, withToken bool) func() (remote, error) {
	address := cmd.Flags().String("url", "", "the server (ANNALS_URL, default http://127.0.0.1:8080)")
	token := new(string)
	if withToken {
		token = cmd.Flags().String("token", "", "bearer token, see annals sign-in (ANNALS_TOKEN)")
	}
	return func() (remote, error) {
		r := remote{*address, *token}
		if r.url == "" {
			r.url = os.Getenv("ANNALS_URL")
		}
		if r.url == "" {
			r.url = "http://127.0.0.1:8080"
		}
		if r.token == "" {
			r.token = os.Getenv("ANNALS_TOKEN")
		}
		r.url = strings.TrimRight(r.url, "/")
		if u, err := url.Parse(r.url); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return r, usage("--url: %q is not a URL as in http://127.0.0.1:8080", r.url)
		}
		if withToken && r.token == "" {
			return r, usage("--token or ANNALS_TOKEN is required: annals sign-in prints one")
		}
		return r, nil
	}
}

// do sends a request, and turns a problem into an error.
func (r remote) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	return r.doFor(ctx, time.Minute, method, path, body)
}

// doFor is do for an answer that takes so long at most; 0 is any time.
func (r remote) doFor(ctx context.Context, most time.Duration, method, path string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, in)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "annals-cli")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := (&http.Client{Timeout: most}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.url, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // read only
	var p struct{ Detail string }
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if json.Unmarshal(raw, &p) != nil || p.Detail == "" {
		p.Detail = http.StatusText(res.StatusCode)
	}
	return nil, fmt.Errorf("%s %s: %d: %s", method, path, res.StatusCode, p.Detail)
}

func signInCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign-in EMAIL",
		Short: "Print a bearer token for an employee",
		Long:  "Print a bearer token for an employee. The password is read from ANNALS_PASSWORD, or asked for.",
		Args:  wantArgs(1),
	}
	server := remoteFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		password := os.Getenv("ANNALS_PASSWORD")
		if password == "" {
			if password, err = askPassword(cmd.InOrStdin(), cmd.ErrOrStderr()); err != nil {
				return err
			}
		}
		res, err := r.do(cmd.Context(), http.MethodPost, "/api/v1/session", map[string]string{"email": args[0], "password": password})
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read only
		var s struct{ Token string }
		if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), s.Token)
		return err
	}
	return cmd
}

package offset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tripLimit bounds one question. Who needs longer than that has a clock that nobody can read.
const tripLimit = 5 * time.Second

// HTTP measures the clock of the server at base, http://HOST:PORT or https://, by GET /clock of its admin listener, on one connection.
func HTTP(ctx context.Context, base string) (Reading, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return Reading{}, fmt.Errorf("%w: %q is no address of an admin listener; give http://HOST:PORT", ErrURL, base)
	}
	u.Path = "/clock"
	transport := &http.Transport{MaxConnsPerHost: 1} // no proxy: it would be its clock's way that is measured
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: tripLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return Measure(time.Now, func() ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		answer, err := client.Do(req)
		if err != nil {
			if op := (*net.OpError)(nil); errors.As(err, &op) {
				err = op.Err
			}
			return nil, fmt.Errorf("the clock at %s cannot be asked: %w", u, err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(io.LimitReader(answer.Body, 64))
		if err != nil || answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the clock at %s cannot be asked: %s; is it the admin listener of cometctl serve?", u, answer.Status)
		}
		return bytes.TrimSpace(text), nil
	})
}

// ErrURL is returned, wrapped, where a URL is not that of an admin listener.
var ErrURL = errors.New("offset: no admin listener")

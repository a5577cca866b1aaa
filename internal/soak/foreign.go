package soak

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"cometctl/memlog"
)

// Foreign is a server that is not our own: nobody asks it for anything but what its clients do. It runs already, and goes
// on when the run is over; or Exec names its program, which Run starts and ends. It keeps no ledger for us: what
// flood and msggen counted is all that is known of its messages.
type Foreign struct {
	Exec []string // the command line of a server that Run starts, in the foreground; none: it runs already
	PIDs []int    // without Exec: its processes, whose descendants belong to it,
	Port int      // or whoever listens on this TCP port. With Exec: where it will listen

	// With Exec. Ready is a URL that answers with 2xx or 3xx once the server is ready; empty: it is when Port, on a loopback address,
	// takes connections. Patience is how long that may take.
	Ready    string
	Patience time.Duration

	URLs []string // what flood opens: its arguments, whose number is Config.Conns
	To   string   // where msggen sends: its --to
}

// ErrRefused is returned by Run for a run that cannot be as it was asked for: nothing was started and nothing written.
var ErrRefused = errors.New("refused")

// server is the name of the piece that Exec starts.
const server = "server"

// String says for people which server it is.
func (f *Foreign) String() string {
	switch {
	case len(f.Exec) > 0:
		return strings.Join(f.Exec, " ")
	case f.Port != 0:
		return fmt.Sprintf("who listens on port %d", f.Port)
	case len(f.PIDs) == 1:
		return fmt.Sprintf("pid %d", f.PIDs[0])
	}
	return "pids " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(f.PIDs)), ", "), "[]")
}

// preflight finds the server's processes, or that its program is there and its port is free.
func (f *Foreign) preflight(ctx context.Context) ([]int, error) {
	if len(f.Exec) == 0 {
		pids, err := memlog.Find(memlog.Target{PIDs: f.PIDs, Port: f.Port})
		if err != nil {
			return nil, fmt.Errorf("soak: the server: %w: %w", ErrRefused, err)
		}
		return pids, nil
	}
	if _, err := exec.LookPath(f.Exec[0]); err != nil {
		return nil, fmt.Errorf("soak: the server's program: %w: %w", ErrRefused, err)
	}
	if f.Port != 0 && f.listens(ctx) == nil {
		return nil, fmt.Errorf("soak: %w: somebody listens on port %d already, so that it would never be known whether the server does; end him, or soak him with --server none",
			ErrRefused, f.Port)
	}
	return nil, nil
}

// probeLimit is the patience with one question whether the server is ready.
const probeLimit = time.Second

// probe asks whether the server is ready; its error says why not.
func (f *Foreign) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	if f.Ready == "" {
		return f.listens(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Ready, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // who it is, is flood's question
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s: %s", redact(f.Ready), resp.Status)
	}
	return nil
}

// listens tries the port on both loopback addresses.
func (f *Foreign) listens(ctx context.Context) error {
	var first error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(f.Port)))
		if err == nil {
			conn.Close()
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// upForeign brings the server up, if it does not run already, and returns whose memory is its own: the program, with all that it
// starts, and who listens on the port, should that be none of them.
func (c *conductor) upForeign(ctx context.Context) ([]int, error) {
	f := c.cfg.Foreign
	if len(f.Exec) == 0 {
		return c.cfg.found, nil
	}
	p, err := c.launch.exec(server, f.Exec, c.events)
	if err != nil {
		return nil, fmt.Errorf("soak: starting %s: %w", f, err)
	}
	c.server = c.enter(p, server, "", f.Exec)
	c.server.serves = true
	if err := c.folder.writeJSON(manifestFile, c.man); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		why := c.probe(ctx)
		if why == nil {
			break
		}
		if time.Since(began) > f.Patience {
			return nil, fmt.Errorf("soak: the server (%s) was not ready within %s: %w; what it said is in %s", f, f.Patience, why, c.folder.path(server+".log"))
		}
		switch err := c.pass(ctx, readyEvery); {
		case c.server.ended:
			return nil, fmt.Errorf("soak: the server (%s) ended before it was ready, with %s; %s; it must stay in the foreground, and what it said is in %s",
				f, c.server.record.Exit, lastWords(c.server.words), c.folder.path(server+".log"))
		case err != nil:
			return nil, err
		}
	}
	pids := []int{p.pid()}
	if f.Port != 0 {
		listener, err := memlog.Find(memlog.Target{Port: f.Port})
		if err == nil && listener[0] != p.pid() {
			pids = append(pids, listener[0])
		}
	}
	return pids, nil
}

// readyEvery is the time between two questions whether the server is ready.
const readyEvery = 50 * time.Millisecond

// lastWords quotes what a server that ended said last.
func lastWords(words []string) string {
	if len(words) == 0 {
		return "it said nothing"
	}
	return "its last words: " + strings.Join(words, " / ")
}

// gone notes the end of a server that is no piece of the run: memlog has seen it, and ends with it.
func (c *conductor) gone(p *piece, e event) bool {
	return p.is(mem) && c.cfg.Foreign != nil && !p.told && strings.Contains(strings.Join(e.words, "\n"), memlog.ErrTargetEnded.Error())
}

// lookAfterServer finds out, when a piece has ended by itself, whether that is since a server that is no piece of the run has: flood may
// well notice before memlog does.
func (c *conductor) lookAfterServer() {
	if c.cfg.Foreign == nil || c.server != nil || c.serverDied {
		return
	}
	if err := c.present(); err != nil {
		c.serverDied = true
		text := fmt.Sprintf("The server (%s) ended in the %s phase, after %s: %v.", c.cfg.Foreign, c.man.phase(), c.age(), err)
		c.course.Failures = slices.Insert(c.course.Failures, 0, text) // what else failed, failed with it
	}
}

// ServerRecord is a foreign server in the manifest.
type ServerRecord struct {
	Exec  []string `json:"exec,omitempty"`  // the command line that was started
	PIDs  []int    `json:"pids,omitempty"`  // whose memory was logged, with their descendants
	Port  int      `json:"port,omitempty"`  // where it was to be found, or to listen
	Ready string   `json:"ready,omitempty"` // the URL that showed that it was ready
	URLs  []string `json:"urls"`            // what flood opened
	To    string   `json:"to"`              // where msggen sent
}

// record is what the manifest says of it. Passwords stay out.
func (f *Foreign) record() *ServerRecord {
	if f == nil {
		return nil
	}
	return &ServerRecord{Exec: f.Exec, PIDs: f.PIDs, Port: f.Port, Ready: redact(f.Ready), URLs: redactAll(f.URLs), To: redact(f.To)}
}

// String says for people which server it was.
func (r *ServerRecord) String() string {
	return (&Foreign{Exec: r.Exec, PIDs: r.PIDs, Port: r.Port}).String()
}

// secretFields are the fields of a request that tell who we are.
var secretFields = []string{"authorization:", "proxy-authorization:", "cookie:", "x-api-key:"}

// redact takes passwords out of an argument: those of a URL's user, and what a secret field of a request says.
func redact(arg string) string {
	flag, value, _ := strings.Cut(arg, "=")
	if !strings.HasPrefix(flag, "--") {
		flag, value = "", arg
	} else {
		flag += "="
	}
	for _, name := range secretFields {
		if len(value) > len(name) && strings.EqualFold(value[:len(name)], name) {
			return flag + value[:len(name)] + " xxxxx"
		}
	}
	before, after, isURL := strings.Cut(arg, "://")
	if !isURL {
		return arg
	}
	end := strings.IndexAny(after+"/", "/?# ")
	at := strings.LastIndexByte(after[:end], '@')
	if at < 0 {
		return arg
	}
	user, _, _ := strings.Cut(after[:at], ":")
	return before + "://" + url.PathEscape(user) + ":xxxxx" + after[at:]
}

// redactAll is redact for several.
func redactAll(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = redact(a)
	}
	return out
}

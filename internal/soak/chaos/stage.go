package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"cometctl/internal/nursery"
	"cometctl/internal/soak"
)

// process is a started piece as the conductor sees it.
type process interface {
	pid() int
	interrupt() error // ask it to stop gently
	kill()            // make it stop
	terminate() error // tell it to end, as an init system would
	halt() error      // make it stand still
	resume() error    // let it go on
}

// stage is all that the conductor does to the machine.
type stage interface {
	// start starts a piece at a site. It sends what the piece prints, line by line, and after its last line exactly one event with ended
	// set, to events, all with that number.
	start(number int, name string, site int, args []string, events chan<- event) (process, error)
	// look asks a node for its state. It gives up after patience with an error that is context.DeadlineExceeded.
	look(ctx context.Context, n node) (s stats, ready bool, err error)
	// collect has a node take its garbage out.
	collect(ctx context.Context, n node) error
	// memory is what the processes hold together, in bytes; those that are gone hold nothing.
	memory(pids []int) int64
	// killChild kills a child of one of our pieces, and fails if it is none.
	killChild(parent, child int) error
	// cut takes a site off the backbone, or brings it back.
	cut(site int, off bool) error
	// far tells that addresses are not loopback ones.
	far() bool
	// file is the path of a file of the run's folder.
	file(name string) string
}

// event is something that a piece did.
type event struct {
	number int
	line   []byte // a line it printed, without the newline
	stderr bool   // where it printed it
	ended  bool
	exit   string   // how it ended, for people: "exit status 1", "signal: killed"
	code   int      // its exit code; -1 for a signal
	words  []string // the last lines that it had for people, if it ended
}

// machine is the stage that is real.
type machine struct {
	*nursery.Nursery
	program string
	dir     string // where the pieces' output goes
	place   place
	client  *http.Client
	token   string // that the nodes' admin listeners ask for: in a network of our own they are not on loopback addresses

	mu   sync.Mutex
	torn error // why what a piece printed could not be written; the first time
}

func newMachine(program, dir string, p place) *machine {
	return &machine{Nursery: nursery.New(), program: program, dir: dir, place: p,
		client: &http.Client{Transport: &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 2}}}
}

// protect makes a token and returns the path of the file that it stands in.
func (m *machine) protect() (path string, err error) {
	m.token = rand.Text()
	if path, err = filepath.Abs(m.file("token")); err != nil {
		return "", fmt.Errorf("chaos: %w", err)
	}
	if err := os.WriteFile(path, []byte(m.token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("chaos: %w", err)
	}
	return path, nil
}

// close kills who is left and takes the place down.
func (m *machine) close() {
	m.client.CloseIdleConnections()
	m.Close()
	_ = m.place.close() // what stays is removed by the next run
}

func (m *machine) killAll() { m.KillAll() }

func (m *machine) file(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) far() bool { return m.place.far() }

func (m *machine) cut(site int, off bool) error { return m.place.cut(site, off) }

// child is a started process.
type child struct{ cmd *exec.Cmd }

func (c *child) pid() int         { return c.cmd.Process.Pid }
func (c *child) interrupt() error { return nursery.Interrupt(c.cmd.Process) }
func (c *child) kill()            { c.cmd.Process.Kill() }
func (c *child) terminate() error { return terminate(c.cmd.Process) }
func (c *child) halt() error      { return halt(c.cmd.Process) }
func (c *child) resume() error    { return resume(c.cmd.Process) }

// start starts a piece. What it prints is added to NAME.json (stdout) and NAME.log (stderr) in the folder: a piece may be started more than
// once.
func (m *machine) start(number int, name string, site int, args []string, events chan<- event) (process, error) {
	line := m.place.command(site, m.program, args)
	c := &child{cmd: exec.Command(line[0], line[1:]...)}
	out, err := m.open(name + ".json")
	if err != nil {
		return nil, err
	}
	errs, err := m.open(name + ".log")
	if err != nil {
		out.Close()
		return nil, err
	}
	err = m.Listen(c.cmd, nursery.Listener{Out: out, Err: errs, Torn: m.tear,
		Line: func(line []byte, stderr bool) { events <- event{number: number, line: line, stderr: stderr} },
		Ended: func(s *os.ProcessState, last []string) {
			events <- event{number: number, ended: true, exit: s.String(), code: s.ExitCode(), words: last}
		}})
	if errors.Is(err, nursery.ErrClosed) {
		err = soak.ErrInterrupted
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (m *machine) open(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(m.dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
}

func (m *machine) tear(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.torn == nil {
		m.torn = fmt.Errorf("chaos: %w", err)
	}
}

// unwritten returns why a piece's output is not whole in the folder, or nil.
func (m *machine) unwritten() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.torn
}

func (m *machine) look(ctx context.Context, n node) (s stats, ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, _, err := m.ask(ctx, http.MethodGet, n, "/stats")
	if err != nil {
		return stats{}, false, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return stats{}, false, fmt.Errorf("chaos: /stats of %s: %w", n.name, err)
	}
	_, code, err := m.ask(ctx, http.MethodGet, n, "/readyz")
	return s, code == http.StatusOK, err
}

func (m *machine) collect(ctx context.Context, n node) error {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	_, code, err := m.ask(ctx, http.MethodPost, n, "/gc")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("chaos: POST /gc to %s: status %d", n.name, code)
	}
	return err
}

// collectLimit is how long a node may take to collect its garbage, and a parent's workers theirs.
const collectLimit = 10 * time.Second

func (m *machine) ask(ctx context.Context, method string, n node, path string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.admin+path, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return text, resp.StatusCode, err
}

// memory reads /proc/PID/statm: its second number is the resident pages.
func (m *machine) memory(pids []int) (sum int64) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if f := strings.Fields(string(text)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum
}

// killChild looks at who the parent is, because the number of a process that has just ended may be another's by now.
func (m *machine) killChild(parent, pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ") // the name before may hold anything
	if f := strings.Fields(rest); len(f) < 2 || f[1] != strconv.Itoa(parent) {
		return fmt.Errorf("chaos: process %d is no child of %d", pid, parent)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return p.Kill()
}

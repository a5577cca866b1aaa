package memlog

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A puppet is a process that does as it is told: this test binary again, which dials the socket
// that the environment names and obeys what comes, until the socket is closed. So trees of
// processes can be made, and nothing is left of them when a test ends.
type puppet struct {
	t    testing.TB
	show *puppetShow
	pid  int
	conn net.Conn
	in   *bufio.Reader
}

const puppetSocket = "MEMLOG_PUPPET_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(puppetSocket); socket != "" {
		if err := obey(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// obey is a puppet's life.
func obey(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	var mind puppetMind
	if len(os.Getenv("MEMLOG_PUPPET_LISTENS")) > 0 {
		l, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			return err
		}
		mind.listeners = append(mind.listeners, l.(*net.TCPListener))
	}
	fmt.Fprintln(conn, os.Getpid())
	for in := bufio.NewReader(conn); ; {
		order, err := in.ReadString('\n')
		if err != nil {
			return nil
		}
		answer, err := mind.do(strings.Fields(order))
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, answer)
	}
}

type puppetMind struct {
	listeners []*net.TCPListener
	conns     []net.Conn
	memory    [][]byte
}

func (m *puppetMind) do(order []string) (answer int, err error) {
	n := 0
	if len(order) > 1 {
		if n, err = strconv.Atoi(order[1]); err != nil {
			return 0, err
		}
	}
	switch order[0] {
	case "spawn": // a child; with 1 it has the last listener, the same socket
		cmd := puppetCommand(os.Getenv(puppetSocket))
		if n == 1 {
			f, err := m.listeners[len(m.listeners)-1].File()
			if err != nil {
				return 0, err
			}
			defer f.Close()
			cmd.ExtraFiles = []*os.File{f}
			cmd.Env = append(cmd.Env, "MEMLOG_PUPPET_LISTENS=1")
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		go cmd.Wait()
		return cmd.Process.Pid, nil
	case "listen": // on a port, a socket of its own; the answer is the port
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
			return c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		}}
		l, err := config.Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(n)))
		if err != nil {
			return 0, err
		}
		m.listeners = append(m.listeners, l.(*net.TCPListener))
		return l.Addr().(*net.TCPAddr).Port, nil
	case "accept": // so many, on the last listener
		for range n {
			c, err := m.listeners[len(m.listeners)-1].Accept()
			if err != nil {
				return 0, err
			}
			m.conns = append(m.conns, c)
		}
	case "close": // the last listener
		last := len(m.listeners) - 1
		m.listeners[last].Close()
		m.listeners = m.listeners[:last]
	case "hold": // so many MB
		b := make([]byte, n<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		m.memory = append(m.memory, b)
	case "burn": // so many ms of processor time
		for from := ownCPU(); ownCPU() < from+time.Duration(n)*time.Millisecond; {
		}
	}
	return 0, nil
}

func puppetCommand(socket string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "puppet"
	cmd.Env = append(os.Environ(), puppetSocket+"="+socket)
	cmd.Stderr = os.Stderr
	return cmd
}

// A puppetShow is the socket that a test's puppets dial.
type puppetShow struct {
	listener *net.UnixListener
	arrived  map[int]*puppet
}

func newPuppetShow(t testing.TB) *puppetShow {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &puppetShow{listener: l, arrived: map[int]*puppet{}}
}

// start starts a puppet as a child of the test.
func (s *puppetShow) start(t testing.TB) *puppet {
	t.Helper()
	cmd := puppetCommand(s.listener.Addr().String())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return s.await(t, cmd.Process.Pid)
}

// await waits until the puppet with this pid has dialed.
func (s *puppetShow) await(t testing.TB, pid int) *puppet {
	t.Helper()
	for s.arrived[pid] == nil {
		s.listener.SetDeadline(time.Now().Add(10 * time.Second))
		conn, err := s.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		p := &puppet{t: t, show: s, conn: conn, in: bufio.NewReader(conn)}
		p.pid = p.answer()
		s.arrived[p.pid] = p
	}
	return s.arrived[pid]
}

// do has the puppet obey, and returns its answer.
func (p *puppet) do(order string) int {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.conn, order); err != nil {
		p.t.Fatal(err)
	}
	return p.answer()
}

func (p *puppet) answer() int {
	p.t.Helper()
	p.conn.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := p.in.ReadString('\n')
	if err != nil {
		p.t.Fatalf("puppet %d: %v", p.pid, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// spawn has the puppet make a child, which has its last listener if shared.
func (p *puppet) spawn(shared bool) *puppet {
	p.t.Helper()
	order := "spawn"
	if shared {
		order = "spawn 1"
	}
	return p.show.await(p.t, p.do(order))
}

// kill kills the puppet and waits until it has ended, at least as a zombie.
func (p *puppet) kill() {
	p.t.Helper()
	if err := unix.Kill(p.pid, unix.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the end of a puppet", func() bool {
		_, ok := readProcess(p.pid)
		return !ok
	})
}

// row is its row of the process table.
func (p *puppet) row() process {
	p.t.Helper()
	row, ok := readProcess(p.pid)
	if !ok {
		p.t.Fatalf("no puppet %d", p.pid)
	}
	return row
}

// eventually waits for what the kernel does in its own time.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

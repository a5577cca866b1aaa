package nursery

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary the children: "lullaby" sleeps until it is interrupted, "mother" starts one of those, "babble" prints and ends,
// "server" starts a worker in its group, which is a lullaby, and sleeps until it is terminated; "owner" starts a Group of those.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "lullaby":
			stop := make(chan os.Signal, 1)
			signal.Notify(stop, os.Interrupt)
			fmt.Println("asleep")
			<-stop
			os.Exit(7)
		case "babble":
			fmt.Fprint(os.Stdout, "one\nhalf")
			fmt.Fprint(os.Stderr, "oh dear\n{\"n\":1}\nthe end\n")
			os.Exit(3)
		case "server":
			worker := exec.Command(os.Args[0], "lullaby")
			worker.Stdout = os.Stdout
			stop := make(chan os.Signal, 1)
			signal.Notify(stop, terminator)
			if err := worker.Start(); err != nil {
				panic(err)
			}
			<-stop
			os.Exit(8) // the worker is left
		case "owner":
			c := exec.Command(os.Args[0], "server")
			c.Stdout = os.Stdout
			if _, err := New().StartGroup(c); err != nil {
				panic(err)
			}
			time.Sleep(time.Hour)
		case "mother":
			c := exec.Command(os.Args[0], "lullaby")
			c.Stdout = os.Stdout
			if err := New().Start(c); err != nil {
				panic(err)
			}
			time.Sleep(time.Hour) // and not select{}, which the runtime would call a deadlock
		}
	}
	os.Exit(m.Run())
}

// startTo starts a child and returns what it prints, after its first line.
func startTo(t *testing.T, start func(*exec.Cmd) error, name string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c := exec.Command(os.Args[0], name)
	c.Stdout = w
	if err := start(c); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); line != "asleep\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
	return c, lines
}

func TestInterruptAndKill(t *testing.T) {
	n := New()
	defer n.Close()
	a, _ := startTo(t, n.Start, "lullaby")
	b, _ := startTo(t, n.Start, "lullaby")
	if err := Interrupt(a.Process); err != nil {
		t.Fatal(err)
	}
	if n.Wait(a); a.ProcessState.ExitCode() != 7 {
		t.Errorf("who was interrupted ended with %v", a.ProcessState)
	}
	n.KillAll()
	if n.Wait(b); b.ProcessState.Success() || b.ProcessState.ExitCode() == 7 {
		t.Errorf("who was killed ended with %v", b.ProcessState)
	}
	if err := n.Start(exec.Command(os.Args[0], "lullaby")); !errors.Is(err, ErrClosed) {
		t.Errorf("one more child: %v", err)
	}
}

// kill -9 of the parent ends the child: its output, which it alone has by then, comes to its end.
func TestKilledParentLeavesNobody(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills the children of a process that was killed")
	}
	c, out := startTo(t, (*exec.Cmd).Start, "mother")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("it went on: %q, %v", rest, err)
	}
}

func TestTail(t *testing.T) {
	var last Tail
	for i := range 10 {
		last.Add(fmt.Appendf(nil, "line %d", i))
		last.Add([]byte(`{"open":1}`))
		last.Add(nil)
	}
	if got := strings.Join(last.Lines(), ","); got != "line 5,line 6,line 7,line 8,line 9" {
		t.Errorf("last words %q", got)
	}
}

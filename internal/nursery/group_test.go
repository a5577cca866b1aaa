//go:build unix

package nursery

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
)

// startGroup starts a server with its worker. The output that is returned ends when both have.
func startGroup(t *testing.T, n *Nursery) (*Group, *exec.Cmd, io.Reader) {
	t.Helper()
	var g *Group
	c, out := startTo(t, func(c *exec.Cmd) (err error) {
		g, err = n.StartGroup(c)
		return err
	}, "server")
	return g, c, out
}

func TestGroupEndsAsAWhole(t *testing.T) {
	for name, end := range map[string]func(*Nursery, *Group) error{
		"terminated": func(_ *Nursery, g *Group) error { return g.Terminate() },
		"killed":     func(_ *Nursery, g *Group) error { g.Kill(); return nil },
		"all killed": func(n *Nursery, _ *Group) error { n.KillAll(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			n := New()
			defer n.Close()
			g, c, out := startGroup(t, n)
			if err := end(n, g); err != nil {
				t.Fatal(err)
			}
			g.Wait()
			if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
				t.Errorf("somebody went on: %q, %v", rest, err)
			}
			if gentle := c.ProcessState.ExitCode() == 8; gentle != (name == "terminated") {
				t.Errorf("it ended with %v", c.ProcessState)
			}
		})
	}
}

// kill -9 of the owner ends the server and its worker, who is nobody's child by then.
func TestKilledOwnerLeavesNoGroup(t *testing.T) {
	c, out := startTo(t, (*exec.Cmd).Start, "owner")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("somebody went on: %q, %v", rest, err)
	}
}

func TestGroupThatCannotStart(t *testing.T) {
	n := New()
	defer n.Close()
	if _, err := n.StartGroup(exec.Command("/nowhere/to/be/found")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	n.KillAll()
	if _, err := n.StartGroup(exec.Command(os.Args[0], "server")); !errors.Is(err, ErrClosed) {
		t.Errorf("one more group: %v", err)
	}
}

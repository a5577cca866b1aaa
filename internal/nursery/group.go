package nursery

import (
	"io"
	"os/exec"
)

// Group is a program that somebody else wrote, with all that it starts: a server and its workers. It is a child as any other,
// but what happens to it happens to its whole process group, where the system has them. Who leaves the group on his own, as
// daemons do, is not seen.
type Group struct {
	nursery *Nursery
	cmd     *exec.Cmd
	guard   io.Closer // kills the group when this process is gone; closing it says that there is nothing left to do
}

// StartGroup starts c as Start does, as the first of a Group. Whoever starts it calls Wait. Where this process ends without
// having done so, however it ends, the whole group is killed; on Windows only KillAll and Close do that, and to c alone.
func (n *Nursery) StartGroup(c *exec.Cmd) (*Group, error) {
	if err := n.Start(c); err != nil {
		return nil, err
	}
	g := &Group{nursery: n, cmd: c}
	guard, err := guardGroup(c.Process)
	if err != nil {
		g.Kill()
		n.Wait(c)
		return nil, err
	}
	g.guard = guard
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive[c] = g.Kill
	if n.closed { // between Start and here: only c was known then
		g.Kill()
	}
	return g, nil
}

// Wait waits for the end of c and then kills who is left of the group. It returns what c.Wait does.
func (g *Group) Wait() error {
	err := g.nursery.Wait(g.cmd)
	g.Kill()
	g.guard.Close()
	return err
}

// Terminate asks c to end, as service managers do: with SIGTERM, where there are signals. What becomes of the others is c's business.
func (g *Group) Terminate() error { return terminate(g.cmd.Process) }

// Kill kills all of the group.
func (g *Group) Kill() { killGroup(g.cmd.Process) }

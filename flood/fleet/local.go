package fleet

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"

	"cometctl/internal/nursery"
)

// local is a worker that the coordinator has started.
type local struct {
	name  string
	token string
	cmd   *exec.Cmd
	stdin io.WriteCloser // its end is the coordinator's
	last  nursery.Tail   // of what it said; complete when it has ended
	ended bool           // as the coordinator knows
}

func (l *local) pid() int {
	if l.cmd == nil || l.cmd.Process == nil {
		return 0
	}
	return l.cmd.Process.Pid
}

// start starts the worker's process and invites it. What it says on stderr goes to say, line by line; exited is called when it has
// ended, with how. Both are called from another goroutine.
func (l *local) start(n *nursery.Nursery, program string, args []string, i Invitation, say func(line string), exited func(how string)) error {
	i.Token = l.token
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	l.cmd = exec.Command(program, append(append([]string{}, args...), "--join", "-")...)
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return err
	}
	errs, err := l.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := n.Start(l.cmd); err != nil {
		return fmt.Errorf("starting worker %s: %w", l.name, err)
	}
	if _, err := l.stdin.Write(append(text, '\n')); err != nil {
		say(fmt.Sprintf("cannot be invited: %v", err)) // it has ended; how is told next
	}
	var pump sync.WaitGroup
	pump.Go(func() {
		for in := bufio.NewReader(errs); ; {
			line, err := in.ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				l.last.Add([]byte(line))
				say(line)
			}
			if err != nil {
				return
			}
		}
	})
	go func() {
		pump.Wait()
		_ = n.Wait(l.cmd) // its state says more
		how := l.cmd.ProcessState.String()
		if words := l.last.Lines(); len(words) > 0 && !l.cmd.ProcessState.Success() {
			how += ": " + words[len(words)-1]
		}
		exited(how)
	}()
	return nil
}

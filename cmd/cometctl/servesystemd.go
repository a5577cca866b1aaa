package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"cometctl/internal/systemd"
	"cometctl/server"
	"cometctl/server/node"
)

// manager is systemd, or whoever else has started serve and wants to hear how it is. Without one all of this does nothing.
type manager struct {
	systemd.Manager
	log *slog.Logger
}

// findManager reads what a service manager says in the environment.
func findManager(log *slog.Logger) (manager, error) {
	m, err := systemd.Find(os.Getenv, os.Getpid())
	if err != nil {
		return manager{}, usageError(err)
	}
	return manager{m, log}, nil
}

// inheritSockets makes the listeners of cfg those that the service manager has opened: by the names comet and admin, or one by any name, for comet. Of two that are not named nobody
// knows which is for everybody.
func inheritSockets(f *pflag.FlagSet, cfg *server.Config, workers string) error {
	files, err := systemd.Sockets(os.Getenv, os.Getpid())
	if err != nil {
		return usageError(err)
	}
	for _, file := range files {
		flag, to := "listen", &cfg.Inherit
		switch {
		case file.Name() == "admin":
			flag, to = "admin", &cfg.InheritAdmin
		case file.Name() != "comet" && len(files) > 1:
			return usageErrorf("%d sockets of the service manager, one of them called %q: name them comet and admin (FileDescriptorName=)", len(files), file.Name())
		}
		switch {
		case *to != nil:
			return usageErrorf("two sockets of the service manager are called %q; a listener has one", file.Name())
		case f.Changed(flag):
			return usageErrorf("--%s %s, and the service manager has opened a socket for it, %q; one of them is enough", flag, f.Lookup(flag).Value, file.Name())
		case flag == "listen" && workers != "":
			return usageErrorf("--workers %s with the service manager's socket %q: workers share a port of their own, which they open by --listen", workers, file.Name())
		case flag == "listen" && cfg.NoFront:
			return usageErrorf("--router-only with the service manager's socket %q: that one has no comet listener", file.Name())
		}
		*to = file
	}
	return nil
}

// dropSockets closes our copies of what the server has copies of its own of.
func dropSockets(cfg *server.Config) {
	for _, f := range []*os.File{cfg.Inherit, cfg.InheritAdmin} {
		if f != nil {
			f.Close()
		}
	}
}

// said logs that the manager could not be told something. It then does what the unit says of a service that is silent.
func (m manager) said(err error) {
	if err != nil {
		m.log.Warn("the service manager does not hear of this server", "error", err)
	}
}

// watch lets the manager know that srv is alive, until ctx is done.
func (m manager) watch(ctx context.Context, srv *node.Node) {
	m.Watch(ctx, srv.Alive, func(err error) {
		m.log.Error("the service manager's watchdog is told nothing: this server is not well", "error", err)
	})
}

// reload reads again what srv can replace.
func (m manager) reload(srv *node.Node, status string) {
	m.said(m.Reloading())
	if err := srv.Reload(); err != nil { // the log has it, too
		status += "; the last reload failed: " + err.Error()
	}
	m.said(m.Ready(status))
}

// drainStep is how often the manager hears of a drain. Without that it ends it after TimeoutStopSec=, whatever --drain-timeout says.
const drainStep = time.Second

// drain ends srv in order.
func (m manager) drain(ctx context.Context, srv *node.Node) error {
	if m.Manager == (systemd.Manager{}) {
		return srv.Drain(ctx)
	}
	left := func() string { return fmt.Sprintf("draining: %d connections are left", srv.Stats().Conns.Open) }
	m.said(m.Stopping(left()))
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(drainStep); ; {
			if m.Extend(10*drainStep, left()) != nil { // once is enough to have said so
				return
			}
			select {
			case <-tick.C:
			case <-ended:
				tick.Stop()
				return
			}
		}
	}()
	err := srv.Drain(ctx)
	close(ended)
	<-done
	return err
}

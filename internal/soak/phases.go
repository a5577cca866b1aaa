package soak

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"cometctl/report"
)

// The phases of a run, in their order. Memory is compared between them: a connection
// costs what the idle plateau has over the empty server.
const (
	phaseEmpty   = "empty"   // the server runs, nobody is connected
	phaseRamp    = "ramp"    // flood opens the connections
	phaseIdle    = "idle"    // all are open (or have failed), nothing is sent
	phaseTraffic = "traffic" // msggen sends
	phaseDrain   = "drain"   // what is pending arrives, then everybody goes
)

var phases = []string{phaseEmpty, phaseRamp, phaseIdle, phaseTraffic, phaseDrain}

// How long the conductor waits where something could keep it waiting for ever.
const (
	readyLimit  = 15 * time.Second // for serve to become ready, for memlog's first rows
	drainLimit  = 30 * time.Second // for the last messages to arrive
	drainQuiet  = 3 * time.Second  // none arrived for so long: none will
	stopLimit   = 20 * time.Second // for a piece that was told to stop
	msggenExtra = 15 * time.Second // for msggen beyond its duration; its own patience with the server is 10 s
	statsLimit  = 3 * time.Second  // for an answer of /stats
	rowLimit    = 5 * time.Second  // for a last row of memlog; with longer intervals there is none
)

// run does the whole run: the phases, then the end of every piece, however far the
// phases came. Its error is one of the folder, or of what could not even be started.
func (c *conductor) run(ctx context.Context) error {
	c.started = time.Now()
	err := c.conduct(ctx)
	reached, age := c.man.phase(), c.age()
	c.end()
	switch {
	case err == nil, errors.Is(err, errDied):
		err = nil // bury has noted it
	case ctx.Err() != nil:
		c.course.Interrupted = fmt.Sprintf("Interrupted in the %s phase, after %s.", reached, age)
		err = nil
	case errors.Is(err, errLimit):
		c.course.Interrupted = fmt.Sprintf("The %s phase did not come to its end, the run was stopped after %s.", reached, age)
		err = nil
	default:
		c.course.Interrupted = fmt.Sprintf("The run was stopped in the %s phase, after %s: %s.", reached, age, strings.TrimPrefix(err.Error(), "soak: "))
	}
	if c.serverDied && ctx.Err() == nil && c.course.Interrupted != "" {
		// The instrument only noticed first what the server's end did to it.
		c.course.Failures, c.course.Interrupted = append(c.course.Failures, c.course.Interrupted), ""
	}
	c.man.Course = c.course
	return cmp.Or(err, c.folder.writeJSON(manifestFile, c.man), c.unkept)
}

// conduct is the run as it should go.
func (c *conductor) conduct(ctx context.Context) error {
	steps := []func(context.Context) error{c.empty, c.ramp, c.idle, c.traffic, c.drain}
	for i, step := range steps {
		c.man.begin(phases[i], time.Now())
		c.show()
		if err := step(ctx); err != nil {
			return err
		}
		if phases[i] == phaseRamp && c.now.Open == 0 {
			return nil // flood's own result says why; there is nobody to send to
		}
	}
	return nil
}

func (c *conductor) empty(ctx context.Context) error {
	if _, err := c.start(serve, serveArgs(c.cfg)); err != nil {
		return err
	}
	if err := c.await(ctx, readyLimit, func() bool { return c.ready.Listen != "" }); err != nil {
		return err
	}
	c.man.Listen, c.man.Admin = c.ready.Listen, c.ready.Admin
	c.man.begin(phaseEmpty, time.Now()) // only now is it empty and not still starting
	pid := c.ready.PID
	if pid == 0 {
		pid = c.pieces[serve].pid()
	}
	if _, err := c.start(mem, memlogArgs(c.cfg, pid, c.folder.path(logFile))); err != nil {
		return err
	}
	return c.await(ctx, readyLimit+c.plan.empty, func() bool { return c.samples >= plateauSamples })
}

// ramp has no limit of its own: flood gives up on every single connection in time.
func (c *conductor) ramp(ctx context.Context) error {
	if _, err := c.start(flood, floodArgs(c.cfg, c.plan, c.ready.Listen)); err != nil {
		return err
	}
	return c.await(ctx, 0, func() bool { return c.now.Phase != "" && c.now.Phase != phaseRamp })
}

// idle lasts as long as planned and, on a machine so busy that memlog comes late,
// until there is a sample of it.
func (c *conductor) idle(ctx context.Context) error {
	rows := c.samples
	if err := c.pass(ctx, c.plan.idle); err != nil {
		return err
	}
	return c.await(ctx, readyLimit+c.cfg.Interval, func() bool { return c.samples > rows+1 })
}

// traffic lasts until msggen has sent what was due in its time. Where the asked rate
// is more than the server takes, that may be much later: then it is stopped, and its
// result says what was reached.
func (c *conductor) traffic(ctx context.Context) error {
	p, err := c.start(msggen, msggenArgs(c.cfg, c.plan, c.ready.Admin))
	if err != nil {
		return err
	}
	p.mayEnd = true
	err = c.await(ctx, c.plan.traffic+msggenExtra, func() bool { return p.ended })
	if errors.Is(err, errLimit) {
		c.stop(msggen)
		return nil
	}
	return err
}

// drain waits until everything that can arrive has arrived: flood has as many
// messages as the server's ledger says were not lost on the way, or no more have
// come for a while, or somebody of the two is gone. The last ledger seen is the one
// that counts.
func (c *conductor) drain(ctx context.Context) error {
	seen, grew := c.now.Messages, time.Now()
	var last time.Time
	err := c.await(ctx, drainLimit, func() bool {
		switch {
		case c.pieces[flood].ended, c.pieces[serve].ended:
			return true
		case c.nowAt == last:
			return false // no new report of flood
		}
		last = c.nowAt
		if c.now.Messages > seen {
			seen, grew = c.now.Messages, time.Now()
		}
		return c.arrived(ctx) || time.Since(grew) >= drainQuiet
	})
	if errors.Is(err, errLimit) {
		return nil // flood's result and the ledger show what is missing
	}
	return err
}

// arrived asks the server for its ledger, keeps it, and compares.
func (c *conductor) arrived(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, statsLimit)
	defer cancel()
	text, err := c.ledger(ctx, c.ready.Admin)
	if err != nil {
		return false // serve's end, if that is why, is noticed elsewhere
	}
	var stats serverStats
	if json.Unmarshal(text, &stats) != nil {
		return false
	}
	c.kept[statsFile] = text
	if err := c.folder.write(statsFile, text); err != nil {
		c.unkept = cmp.Or(c.unkept, err)
	}
	l := stats.Ledger
	return l.Pending == 0 && c.now.Messages >= l.Sent-l.Offline-l.Dropped-l.Gone
}

// serverStats is what soak reads of the server's /stats.
type serverStats struct {
	Ledger report.Ledger `json:"ledger"`
}

// end ends every piece that still runs, in the order that loses least: who sends,
// who receives, who watches (one more row shows the server without its connections),
// who serves.
func (c *conductor) end() {
	c.ending = true
	cut := c.man.phase() != phaseDrain
	if cut {
		c.man.begin(phaseDrain, time.Now())
	}
	c.stop(msggen)
	if cut && c.pieces[msggen] != nil {
		c.drain(context.Background()) // what was sent until the cut may still arrive
	}
	c.stop(flood)
	if p := c.pieces[mem]; p != nil && c.cfg.Interval < rowLimit {
		rows := c.samples
		c.await(context.Background(), rowLimit, func() bool { return c.samples > rows || p.ended })
	}
	c.stop(mem)
	c.stop(serve)
	c.man.finish(time.Now())
}

// stop asks a piece to stop, and kills it if it does not.
func (c *conductor) stop(name string) {
	p := c.pieces[name]
	if p == nil || p.ended {
		return
	}
	ended := func() bool { return p.ended }
	err := p.interrupt()
	p.told = err == nil
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		err = c.await(context.Background(), stopLimit, ended)
	}
	if p.ended {
		return
	}
	c.course.Failures = append(c.course.Failures,
		fmt.Sprintf("%s was told to stop and had to be killed (%v).", name, err))
	p.kill()
	c.await(context.Background(), stopLimit, ended)
}

// getStats reads the server's /stats.
func getStats(ctx context.Context, admin string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/stats", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("soak: GET /stats: %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

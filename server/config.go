package server

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/rlimit"
	"cometctl/server/router"
)

// configError is an error of a Config that is ErrConfig without saying so: its text is about the flag and begins with it.
type configError struct{ err error }

func (e *configError) Error() string        { return "server: " + e.err.Error() }
func (e *configError) Unwrap() error        { return e.err }
func (e *configError) Is(target error) bool { return target == ErrConfig }

func configErrorf(format string, args ...any) error {
	return &configError{fmt.Errorf(format, args...)}
}

// setDefaults gives fields that are zero their values, and checks the others.
func (c *Config) setDefaults() error {
	def(&c.Listen, "127.0.0.1:8000")
	def(&c.Admin, "127.0.0.1:8001")
	def(&c.MaxPending, 64<<10)
	def(&c.SlowPolicy, SlowDrop)
	def(&c.HeadTimeout, DefaultHeadTimeout)
	def(&c.MessageMax, 64<<10)
	def(&c.DrainTimeout, DefaultDrainTimeout)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.checkTalk(); err != nil {
		return err
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	def(&c.Engine, netloop.Engines()[0])
	c.NoFront = c.NoFront || c.Family != nil
	if c.NoFront {
		c.Loops = 1 // without a connection
	}
	if !slices.Contains(netloop.Engines(), c.Engine) {
		return configErrorf("--engine %q: this system has %q", c.Engine, netloop.Engines())
	}
	if c.SlowPolicy != SlowDrop && c.SlowPolicy != SlowClose {
		return configErrorf("--slow-policy %q: use %q or %q", c.SlowPolicy, SlowDrop, SlowClose)
	}
	for _, f := range []struct {
		flag   string
		v, max int
		zero   string
	}{{"loops", c.Loops, netloop.MaxLoops, "one per processor"}, {"max-conns", c.MaxConns, 1 << 27, "what the descriptor limit allows"},
		{"max-pending", c.MaxPending, 1 << 30, "the default"}, {"message-max", c.MessageMax, 1 << 24, "the default"}} {
		if f.v < 0 || f.v > f.max {
			return configErrorf("--%s %d: give 1 to %d, or 0 for %s", f.flag, f.v, f.max, f.zero)
		}
	}
	for _, f := range []struct {
		flag string
		v    time.Duration
	}{{"head-timeout", c.HeadTimeout}, {"drain-timeout", c.DrainTimeout}} {
		if f.v < 0 {
			return configErrorf("--%s %v: it cannot be negative; 0 is the default", f.flag, f.v)
		}
	}
	for _, check := range []func() error{
		c.checkAddresses,
		c.checkOrigins,
		c.checkAdmin,
		c.checkHistory,
		c.checkLimits,
		c.checkDialects,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkAddresses() error {
	if err := c.checkInherited(); err != nil {
		return err
	}
	var at [2]*net.TCPAddr
	for i, f := range []struct{ flag, v string }{{"listen", c.Listen}, {"admin", c.Admin}} {
		var err error
		if c.NoFront && i == 0 || c.NoAdmin && i == 1 {
			continue
		}
		if at[i], err = net.ResolveTCPAddr("tcp", f.v); err != nil {
			return configErrorf("--%s %q: want host:port: %w", f.flag, f.v, err)
		}
	}
	if !c.NoFront && !c.NoAdmin && at[0].Port != 0 && at[0].Port == at[1].Port && (covers(at[0].IP, at[1].IP) || covers(at[1].IP, at[0].IP)) {
		return configErrorf("--listen %s and --admin %s are the same port; give them two", c.Listen, c.Admin)
	}
	return nil
}

// covers tells whether who listens on a also gets what comes to b. No IP and [::] are all addresses.
func covers(a, b net.IP) bool {
	all := len(a) == 0 || a.IsUnspecified() && (a.To4() == nil || b.To4() != nil)
	return all || a.Equal(b)
}

// lineMax is the longest line that a publisher's stream may have in this form.
func (c *Config) lineMax(parse lineParser) int {
	return max(16<<10, parse.spell*c.MessageMax+router.MaxID+64)
}

func def[T comparable](v *T, d T) {
	if zero := *new(T); *v == zero {
		*v = d
	}
}

// limitConns compares MaxConns with the descriptor limit, or takes it from there. It returns what the limit leaves for
// connections of both listeners beside rlimit.Reserve.
func (c *Config) limitConns() (most int, err error) {
	if c.MaxConns > 0 {
		if err := rlimit.Check(c.MaxConns, "connections"); err != nil {
			return 0, configErrorf("--max-conns: %w", err)
		}
	}
	files, err := rlimit.Raise()
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	most = 1 << 27
	if files.Soft < uint64(most) {
		most = max(1, int(files.Soft)-rlimit.Reserve)
	}
	def(&c.MaxConns, most)
	return most, nil
}

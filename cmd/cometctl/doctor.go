package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cometctl/flood"
	"cometctl/internal/doctor"
	"cometctl/internal/pace"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	conns         int
	rate, workers string
	targets       []string
	source, only  string
	json          bool
}

func newDoctorCmd(s streams) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can hold, and what is missing for more",
		Long: `doctor reads the limits of this machine before anything is opened: descriptors, ports,
accept queue, connection tracking, buffers, memory, threads, processors and clock, with the
limits of a container (cgroup). With --conns it says what is missing for so many
connections, as the commands that mend it, or ok.

Memory is judged by what a connection costs here: the kernel's part at each end, and the
part of our own server and flood; a server of another make may need a hundred times the
latter. Without --conns, doctor says how many connections fit, and which limit says so.

Both ends of the connections are taken to be on this machine, as in a soak, unless
--targets names another one, or --only says which end is here. One process holds them on
each side unless --workers says otherwise; auto is as many as descriptors ask for. --rate
is that of messages, all connections together.

Exit codes: 0 nothing is missing, 1 something is, 2 wrong usage.`,
		Example: `  # what can this machine do?
  cometctl doctor

  # is it fit for a million connections in as many processes as that takes?
  cometctl doctor --conns 1000000 --workers auto --rate 20000

  # the client's end of 100,000 connections to a server elsewhere, from two addresses
  cometctl doctor --conns 100000 --targets 10.0.0.1:8000 --source 10.0.0.11,10.0.0.12

  # the server's end only
  cometctl doctor --conns 100000 --only server`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.conns < 1 && cmd.Flags().Changed("conns") {
				return usageErrorf("--conns %d: at least 1 connection is needed", o.conns)
			}
			return runDoctor(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.conns, "conns", 0, "connections that the machine is to hold (default: how many can it?)")
	f.StringVar(&o.rate, "rate", "1000", "`rate` of messages, all connections together: 1000, 500/s, 30/m")
	f.StringVar(&o.workers, "workers", "1", "`processes` of each side, or auto: as many as descriptors ask for")
	f.StringSliceVar(&o.targets, "targets", nil, "what the client connects to: `addresses` such as 10.0.0.1:8000, or URLs, with commas between them (default: one server on this machine)")
	f.StringVar(&o.source, "source", "", "connect from these `addresses`, as in flood; default: one, or all of 127.0.0.0/8 for loopback targets")
	f.StringVar(&o.only, "only", "", "which `end` is on this machine: server or client (default: both; client if the targets are elsewhere)")
	f.BoolVar(&o.json, "json", false, "print what was read, and the judgement, as one JSON object")
	return cmd
}

// runDoctor reads the machine and prints what it is fit for.
func runDoctor(_ context.Context, s streams, o doctorOptions) error {
	ask, err := o.ask()
	if err != nil {
		return err
	}
	snapshot, err := doctor.Read()
	if err != nil {
		return err
	}
	r := doctor.Examine(snapshot, ask)
	if o.json {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(struct {
			doctor.Report
			Machine doctor.Snapshot `json:"machine"`
		}{r, snapshot})
	} else {
		ask.Workers = 0
		err = printDoctor(s.out, r, doctor.Examine(snapshot, ask))
	}
	if err == nil && r.Missing > 0 {
		return fmt.Errorf("%d of %d limits are too low for what was asked", r.Missing, len(r.Checks))
	}
	return err
}

// seeDoctor says, behind an error about too many connections for this machine, who knows more.
func seeDoctor(err error, conns int) error {
	return fmt.Errorf("%w; 'cometctl doctor --conns %d' says what is missing", err, conns)
}

// ask is what the flags ask for.
func (o doctorOptions) ask() (doctor.Ask, error) {
	a := doctor.Ask{Conns: o.conns, Loopback: true}
	rate, err := pace.Parse(o.rate)
	if err != nil {
		return a, usageErrorf("--rate %w", err)
	}
	a.Rate = rate.PerSecond()
	if o.workers != "auto" {
		if a.Workers, err = strconv.Atoi(o.workers); err != nil || a.Workers < 1 || a.Workers > maxWorkers {
			return a, usageErrorf("--workers %s: give a number from 1 to %d, or auto", o.workers, maxWorkers)
		}
	}
	if len(o.targets) > 0 {
		if a.Targets, a.Loopback, err = doctorTargets(o.targets); err != nil {
			return a, usageError(err)
		}
	}
	switch o.only {
	case "":
		a.Client, a.Server = true, a.Loopback
	case "client":
		a.Client = true
	case "server":
		a.Server = true
	default:
		return a, usageErrorf("--only %s: give server or client, or leave it out for both", o.only)
	}
	if o.source != "" {
		sources, err := flood.ParseSources(o.source)
		if err != nil {
			return a, usageError(fmt.Errorf("--source %w", err))
		}
		a.Sources = addresses(sources)
	}
	return a, nil
}

// doctorTargets counts different addresses, and tells whether all of them are IPv4's loopback. Nothing is looked up.
func doctorTargets(all []string) (n int, loopback bool, err error) {
	loopback = true
	seen := map[string]bool{}
	for _, t := range all {
		host := t
		if strings.Contains(t, "://") {
			base, _, _ := strings.Cut(t, "{") // a template's range is no part of the address
			u, err := url.Parse(base)
			if err != nil || u.Hostname() == "" {
				return 0, false, fmt.Errorf("--targets %q: give a URL such as http://10.0.0.1:8000/, or host:port", t)
			}
			host = net.JoinHostPort(u.Hostname(), portOf(u))
		}
		name, port, err := net.SplitHostPort(host)
		if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || name == "" || portErr != nil || number == 0 {
			return 0, false, fmt.Errorf("--targets %q: give an address such as 10.0.0.1:8000, or a URL", t)
		}
		seen[strings.ToLower(host)] = true
		addr, addrErr := netip.ParseAddr(name)
		loopback = loopback && (strings.EqualFold(name, "localhost") || addrErr == nil && addr.Is4() && addr.IsLoopback())
	}
	return len(seen), loopback, nil
}

// portOf is the port of a URL, or that of its scheme.
func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https", u.Scheme == "wss":
		return "443"
	}
	return "80"
}

// addresses counts the hosts of prefixes, as flood uses them.
func addresses(all []netip.Prefix) (n int64) {
	for _, p := range all {
		free := p.Addr().BitLen() - p.Bits()
		hosts := int64(math.MaxInt32)
		if free < 31 {
			hosts = 1 << free
		}
		if p.Addr().Is4() && free > 1 {
			hosts -= 2 // the network's own address and its broadcast
		}
		n += hosts
	}
	return n
}

// printDoctor prints what was found, and behind it what would mend it. all is the same with as many processes as that takes.
func printDoctor(w io.Writer, r, all doctor.Report) error {
	var b strings.Builder
	ends := "both ends on this machine"
	switch {
	case !r.Asked.Server:
		ends = "the client's end on this machine"
	case !r.Asked.Client:
		ends = "the server's end on this machine"
	}
	if r.Asked.Conns > 0 {
		fmt.Fprintf(&b, "asked    %s in %s, %s\n", counted(int64(r.Asked.Conns), "connection", "connections"), processes(r), ends)
	}
	b.WriteString(fits(r, all, ends))
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%-8s %s: %s", c.State, c.Name, c.Has)
		if c.Needs != "" && r.Asked.Conns > 0 {
			fmt.Fprintf(&b, "; needed: %s", c.Needs)
		}
		b.WriteString("\n")
	}
	mend(&b, r.Checks)
	if r.Missing == 0 {
		b.WriteString("ok\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fits says how many connections do.
func fits(r, all doctor.Report, ends string) string {
	text := "fits     any number of connections"
	if r.MostBy != "" {
		text = fmt.Sprintf("fits     %s in %s (%s)", counted(r.Most, "connection", "connections"), processes(r), r.MostBy)
	}
	if all.Most > r.Most {
		text += fmt.Sprintf(", %s in as many as that takes (%s)", counted(all.Most, "connection", "connections"), all.MostBy)
	}
	if r.Asked.Conns == 0 {
		text += ", " + ends
	}
	return text + "\n"
}

// mend prints the commands.
func mend(b *strings.Builder, checks []doctor.Check) {
	began := false
	for _, c := range checks {
		if len(c.Fix) == 0 && c.Else == "" {
			continue
		}
		if !began {
			b.WriteString("\nto mend it, as root where it is a command:\n")
			began = true
		}
		fmt.Fprintf(b, "  # %s\n", c.Name)
		for _, line := range c.Fix {
			fmt.Fprintf(b, "  %s\n", line)
		}
		if c.Else != "" && len(c.Fix) > 0 {
			b.WriteString("  # or ")
		} else if c.Else != "" {
			b.WriteString("  # ")
		}
		if c.Else != "" {
			b.WriteString(c.Else + "\n")
		}
	}
}

// processes are those of each side.
func processes(r doctor.Report) string {
	side := ""
	if r.Asked.Server && r.Asked.Client {
		side = " a side"
	}
	return counted(int64(r.Workers), "process"+side, "processes"+side)
}

// counted is "1 connection" or "10,000 connections".
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + " " + many
}

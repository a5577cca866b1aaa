package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"cometctl/internal/soak"
)

// foreignOptions are the flags of soak for a server that is not our own.
type foreignOptions struct {
	server string // "none", or nothing
	exec   string
	soak.Foreign
}

// serverNone says that soak starts no `serve`.
const serverNone = "none"

// onlyForeign are the flags that say something about a foreign server alone.
var onlyForeign = []string{"pid", "port", "ready", "ready-timeout", "urls", "to", "as"}

// onlyOurs are those that our own server alone understands.
var onlyOurs = []string{"engine", "topology", "token-file"}

func (o *foreignOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.server, "server", "", "none: no serve is started, the server runs already (with --pid or --port), or --exec starts it")
	f.StringVar(&o.exec, "exec", "", "start this `command` as the server, in the foreground, and end it; words may be quoted, there is no shell")
	f.IntSliceVar(&o.PIDs, "pid", nil, "`pid` of the server, whose memory is logged with that of its descendants")
	f.IntVar(&o.Port, "port", 0, "TCP port of the server: whose memory is logged; with --exec, it is ready when it listens there")
	f.StringVar(&o.Ready, "ready", "", "with --exec: the server is ready when this `URL` answers with 2xx or 3xx")
	f.DurationVar(&o.Patience, "ready-timeout", 30*time.Second, "with --exec: how long the server may take to be ready")
	f.StringArrayVar(&o.URLs, "urls", nil, "`URLs` of the server to open: a template such as http://127.0.0.1:8010/test/{1..10000}, or a file; may be given several times")
	f.StringVar(&o.To, "to", "", "where the server takes messages, as msggen's --to: METHOD URL with {id} in it")
}

// check finds out what is wrong with the flags, without a look at the machine; changed says whether one was given.
func (o *foreignOptions) check(changed func(flag string) bool) error {
	switch {
	case changed("server") && o.server != serverNone:
		return usageErrorf("--server %s: there is none, for a server that runs already; without --server it is cometctl's own", o.server)
	case !o.wanted():
		return refuseFlags(onlyForeign, changed, "is for a server that is not cometctl's own: give --server none, or --exec to have one started")
	}
	if err := refuseFlags(onlyOurs, changed, "is for cometctl's own server, and there is another one"); err != nil {
		return err
	}
	var err error
	if o.Exec, err = splitWords(o.exec); err != nil {
		return usageErrorf("--exec %w", err)
	}
	started := o.exec != ""
	switch {
	case started && len(o.Exec) == 0:
		return usageErrorf("--exec %q: there is no word in it", o.exec)
	case started && changed("pid"):
		return usageErrorf("--pid with --exec: the server that is started has the pid that it gets")
	case started && o.Port == 0 && o.Ready == "":
		return usageErrorf("--exec: when is the server ready? Give the --port on which it will listen, or a URL with --ready")
	case started && o.Patience <= 0:
		return usageErrorf("--ready-timeout %s: give a time of more than zero, such as 30s", o.Patience)
	case !started && (o.Ready != "" || changed("ready-timeout")):
		return usageErrorf("--ready is for a server that --exec starts; this one runs already")
	case !started && len(o.PIDs) == 0 && o.Port == 0:
		return usageErrorf("--server none: whose memory is it about? Give --pid or --port of the server")
	case !started && len(o.PIDs) > 0 && o.Port != 0:
		return usageErrorf("--pid and --port exclude each other; give one of them")
	case changed("port") && (o.Port < 1 || o.Port > 65535):
		return usageErrorf("--port %d: a port is a number from 1 to 65535", o.Port)
	case o.Ready != "" && !strings.HasPrefix(o.Ready, "http://") && !strings.HasPrefix(o.Ready, "https://"):
		return usageErrorf("--ready %q: give a URL that begins with http:// or https://", o.Ready)
	case len(o.URLs) == 0:
		return usageErrorf("--urls: which URLs are to be opened? Give a template such as --urls 'http://127.0.0.1:8010/test/{1..10000}', or a file")
	case o.To == "":
		return usageErrorf("--to: where does the server take messages? Give a method and a URL such as --to 'POST http://127.0.0.1:8010/send/{id}'")
	}
	for _, pid := range o.PIDs {
		if pid < 1 {
			return usageErrorf("--pid %d: a pid is a number of 1 or more", pid)
		}
	}
	for _, u := range o.URLs {
		if u == "-" || strings.HasPrefix(u, "--") {
			return usageErrorf("--urls %s: give a template or the name of a file; flood is a process of its own, and has no other input", u)
		}
	}
	return nil
}

// wanted reports whether the server is not our own.
func (o *foreignOptions) wanted() bool { return o.server == serverNone || o.exec != "" }

// refuseFlags refuses the first of the flags that was given.
func refuseFlags(names []string, changed func(string) bool, why string) error {
	for _, name := range names {
		if changed(name) {
			return usageErrorf("--%s %s", name, why)
		}
	}
	return nil
}

// passing is a flag of a piece that soak has too, and passes on to it.
type passing struct {
	name string // the piece's
	as   string // soak's, where that name says something else there
}

// passed are flags of those names.
func passed(names ...string) []passing {
	out := make([]passing, len(names))
	for i, name := range names {
		out[i].name = name
	}
	return out
}

// Flags of flood and of msggen that a soak may need. What has the same name in both goes to both. Shares that misbehave are none of
// them: what is sent to those must not arrive, and the verdict would have to know.
var (
	passedToFlood = passed("header", "as", "cursor", "subprotocol", "ws-hello", "connect-timeout", "in-flight", "source",
		"reconnect", "backoff", "respect-retry", "resume", "seed", "allow-remote", "insecure", "ca", "cert", "key")
	passedToMsggen = append(passed("body", "connections", "pipeline", "size", "lines", "dist", "zipf", "hot", "burst", "poisson",
		"seed", "allow-remote", "insecure", "ca", "cert", "key"), passing{name: "header", as: "send-header"})
)

// overTLS are passed on to a piece that speaks TLS only: the other would refuse them.
var overTLS = []string{"insecure", "ca", "cert", "key"}

// options is what is passed on to flood and to msggen. Where neither speaks TLS, flood refuses what is about it.
func (o *foreignOptions) options(f *pflag.FlagSet) (toFlood, toMsggen []string) {
	floods, sends := passedToFlood, passedToMsggen
	trust := func(p passing) bool { return slices.Contains(overTLS, p.name) }
	if !strings.Contains(strings.ToLower(o.To), "https://") {
		sends = slices.DeleteFunc(slices.Clone(sends), trust)
	} else if !slices.ContainsFunc(o.URLs, mayBeSecure) {
		floods = slices.DeleteFunc(slices.Clone(floods), trust)
	}
	return passedOptions(f, floods), passedOptions(f, sends)
}

// mayBeSecure tells whether a source of URLs has one that begins with https:// or wss://. What a file has is not known here.
func mayBeSecure(source string) bool {
	scheme, _, template := strings.Cut(strings.ToLower(source), "://")
	return !template || scheme == "https" || scheme == "wss"
}

// addPassed adds the flags of flood and of msggen that are passed on. They are those commands' own, so that a value which
// the piece would refuse is refused here.
func addPassed(f *pflag.FlagSet) {
	for _, p := range []struct {
		flags  *pflag.FlagSet
		passed []passing
		of     string
	}{{floodFlags(new(floodOptions)), passedToFlood, "flood"}, {msggenFlags(new(msggenOptions)), passedToMsggen, "msggen"}} {
		for _, name := range p.passed {
			flag := *p.flags.Lookup(name.name)
			if name.as != "" {
				flag.Name, flag.Shorthand = name.as, ""
			}
			if both := f.Lookup(flag.Name); both != nil {
				both.Usage += "; of msggen too"
				continue
			}
			flag.Usage += " (of " + p.of + ")"
			f.AddFlag(&flag)
		}
	}
}

// passedOptions returns what was given of the flags that are passed on, as a piece reads them.
func passedOptions(f *pflag.FlagSet, passed []passing) []string {
	var args []string
	for _, p := range passed {
		name := p.name
		if p.as != "" {
			name = p.as
		}
		flag := f.Lookup(name)
		if !flag.Changed {
			continue
		}
		values := []string{flag.Value.String()}
		if several, ok := flag.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+p.name+"="+v)
		}
	}
	return args
}

func floodFlags(o *floodOptions) *pflag.FlagSet {
	f := pflag.NewFlagSet("flood", pflag.ContinueOnError)
	o.add(f)
	return f
}

func msggenFlags(o *msggenOptions) *pflag.FlagSet {
	f := pflag.NewFlagSet("msggen", pflag.ContinueOnError)
	o.add(f)
	return f
}

// vetPiece checks a command line of flood or msggen as that command would before it opens anything.
func vetPiece(args []string) error {
	if args[0] == "flood" {
		_, err := floodTargets(args[1:])
		return err
	}
	var o msggenOptions
	f := msggenFlags(&o)
	if err := f.Parse(args[1:]); err != nil {
		return flagError(nil, err)
	}
	if err := o.given(f.Changed); err != nil {
		return err
	}
	_, err := o.config()
	return err
}

// floodTargets checks a command line of flood, and tells how many connections it opens.
func floodTargets(args []string) (int, error) {
	var o floodOptions
	f := floodFlags(&o)
	if err := f.Parse(args); err != nil {
		return 0, flagError(nil, err)
	}
	cfg, _, err := floodPlan(f.Args(), strings.NewReader(""), o)
	if err != nil {
		return 0, err
	}
	return cfg.Targets.Len(), nil
}

// applyForeign makes the soak one of the foreign server: as many connections as there are URLs.
func (o *soakOptions) applyForeign(changed func(flag string) bool) error {
	if !o.foreign.wanted() {
		return nil
	}
	n, err := floodTargets(append(o.FloodOptions[:len(o.FloodOptions):len(o.FloodOptions)], o.foreign.URLs...))
	if err != nil {
		return usageErrorf("--urls, as flood reads them: %w", err)
	}
	if n == 0 {
		return usageErrorf("--urls: there is no URL in them")
	}
	if changed("conns") && o.Conns != n {
		return usageErrorf("--conns %d: --urls are %d, and each is one connection; leave --conns out", o.Conns, n)
	}
	o.Conns, o.Foreign = n, &o.foreign.Foreign
	return nil
}

// splitWords splits a command line into words: at blanks, but for those between quotes, single or double, and those behind a
// backslash. Within single quotes nothing else is special, within double ones a backslash before " and \ is. There is no
// shell: no variables, no pipes, no wildcards.
func splitWords(line string) ([]string, error) {
	var (
		words  []string
		word   []byte
		within bool // a word has begun, perhaps an empty one
		quote  byte
		opened int
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if within {
				words, word, within = append(words, string(word)), word[:0], false
			}
		case quote == 0 && (c == '\'' || c == '"'):
			quote, opened, within = c, i, true
		case c == quote:
			quote = 0
		case c == '\\' && (quote == 0 || quote == '"' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\')):
			if i++; i == len(line) {
				return nil, errors.New("ends with a backslash, and nothing behind it")
			}
			word, within = append(word, line[i]), true
		default:
			word, within = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q: the quote at %d has no end", line, opened+1)
	}
	if within {
		words = append(words, string(word))
	}
	return words, nil
}

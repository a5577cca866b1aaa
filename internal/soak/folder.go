package soak

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cometctl/memlog"
	"cometctl/report"
)

// The files of a run's folder, besides each piece's own NAME.log (what it printed on
// stderr) and NAME.json (on stdout).
const (
	manifestFile = "manifest.json"
	summaryFile  = "summary.json"
	statsFile    = "stats.json" // the server's /stats when the last message had arrived; of several nodes the sum
	logFile      = "mochimem.log"
	pictureFile  = "mochimem.png"
	floodLog     = "flood.hlog" // distributions while they grow, as flood's and msggen's --hdr writes them
	msggenLog    = "msggen.hlog"
)

// The picture has two panels, each about as large as the article's one.
const pictureWidth, pictureHeight = 600, 500

// folder is the path of a run's folder.
type folder string

// createFolder makes the folder, or takes one that is empty. It never takes one that
// holds anything: an older run is worth more than a short command line.
func createFolder(path string) (folder, error) {
	entries, err := os.ReadDir(path)
	switch {
	case len(entries) > 0:
		return "", fmt.Errorf("soak: %s %w: it holds %s; name another one", path, ErrNotEmpty, entries[0].Name())
	case err == nil:
		return folder(path), nil
	case !errors.Is(err, fs.ErrNotExist):
		if info, e := os.Stat(path); e == nil && !info.IsDir() {
			return "", fmt.Errorf("soak: %s %w: it is a file; name another one", path, ErrNotEmpty)
		}
		return "", fmt.Errorf("soak: %w", err)
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return "", fmt.Errorf("soak: %w", err)
	}
	return folder(path), nil
}

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

// write replaces a file as a whole: whoever reads it finds the old one or the new one.
func (d folder) write(name string, text []byte) error {
	tmp := d.path(name + ".tmp")
	err := os.WriteFile(tmp, text, 0o666)
	if err == nil {
		err = os.Rename(tmp, d.path(name))
	}
	if err != nil {
		os.Remove(tmp)
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			failed.Path = d.path(name) // the name that people know
		}
		return fmt.Errorf("soak: %w", err)
	}
	return nil
}

func (d folder) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("soak: %s: %w", name, err)
	}
	return d.write(name, append(text, '\n'))
}

// decode takes the first JSON value of a file into v. It reports false for one that
// holds none: a piece that was killed leaves such.
func decode(text []byte, v any) bool {
	return json.NewDecoder(bytes.NewReader(text)).Decode(v) == nil
}

// evidence reads a run's folder into what the summary is computed from. It needs
// nothing but the folder, so that a verdict can be computed again years later.
func (d folder) evidence() (report.Evidence, error) {
	files := map[string][]byte{}
	for _, name := range []string{manifestFile, flood + ".json", msggen + ".json", statsFile} {
		text, err := os.ReadFile(d.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return report.Evidence{}, fmt.Errorf("soak: %w", err)
		}
		files[name] = text
	}
	var m Manifest
	if !decode(files[manifestFile], &m) {
		return report.Evidence{}, fmt.Errorf("soak: %s holds no manifest", d.path(manifestFile))
	}
	samples, err := d.samples(m.FirstSample)
	return assemble(&m, files, samples), err
}

// assemble makes evidence of the manifest, of the texts of the other JSON files by
// their names, and of the memory log.
func assemble(m *Manifest, files map[string][]byte, samples []report.Sample) report.Evidence {
	var (
		gen report.MsggenResult
		fl  struct {
			report.FloodResult
			Workers []floodWorker `json:"workers"`
		}
		st struct {
			nodeStats
			Fallen []string `json:"fallen"`
		}
	)
	e := report.Evidence{Asked: m.Asked.Asked, Samples: samples, Course: m.Course, ClientHere: true, FailIf: m.Asked.FailIf}
	e.Phases = report.Phases{Empty: m.span(phaseEmpty), Idle: m.span(phaseIdle), Traffic: m.span(phaseTraffic)}
	e.Nodes = m.Asked.nodes()
	if m.Asked.Server != nil {
		e.Server = m.Asked.Server.String()
	}
	if decode(files[flood+".json"], &fl) {
		fl.Open += fl.ClosedEarly // flood counts those open at the end, report those that ever were
		e.Flood = &fl.FloodResult
		e.Failures = append(e.Failures, deadFloods(fl.Workers)...)
	}
	if decode(files[msggen+".json"], &gen) {
		e.Msggen = &gen
	}
	if decode(files[statsFile], &st) {
		if m.Asked.Topology != "" && e.Msggen != nil { // it was no node's client
			st.Ledger = st.Ledger.Plus(published(gen))
		}
		e.Ledger = &st.Ledger
		died := deadWorkers(st.Workers)
		e.Failures = append(e.Failures, died...)
		if len(died)+len(st.Fallen) == 0 { // of these nobody knows what they did last
			e.Failures = append(e.Failures, audit(st.Ledger, e.Nodes)...)
		}
	}
	return e
}

// floodWorker is a row of the processes in flood's result.
type floodWorker struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Asked int64  `json:"asked"`
	Ended string `json:"ended"` // how it did, if it was not asked to
}

func deadFloods(all []floodWorker) []string {
	var out []string
	for _, w := range all {
		if w.Ended != "" {
			out = append(out, fmt.Sprintf("flood's worker %s (pid %d, with %d of the connections) ended by itself: %s.", w.Name, w.PID, w.Asked, w.Ended))
		}
	}
	return some(out, flood)
}

func deadWorkers(all []workerStats) []string {
	var out []string
	for _, w := range all {
		if w.Why != "" {
			out = append(out, fmt.Sprintf("A worker of serve ended by itself: %s (it was started again %d times).", w.Why, w.Restarts))
		}
	}
	return some(out, serve)
}

// deadShown is how many dead workers are named: what kills fifty of them is one cause.
const deadShown = 3

func some(dead []string, of string) []string {
	if more := len(dead) - deadShown; more > 1 {
		return append(dead[:deadShown], fmt.Sprintf("%d more workers of %s ended by themselves.", more, of))
	}
	return dead
}

// audit checks the ledger. Each id of a soak has one session, so that every message
// that was taken must be in exactly one of its columns; and what the nodes of a server
// have received from each other, others of them have given away.
func audit(l report.Ledger, nodes int64) []string {
	in, out := l.Sent, l.Delivered+l.Offline+l.Dropped+l.Gone+l.Pending
	if nodes == 1 {
		if in == out {
			return nil
		}
		return []string{fmt.Sprintf("The server's ledger does not add up: %d sent, but %d delivered + %d offline + %d dropped + %d gone + %d pending = %d.",
			l.Sent, l.Delivered, l.Offline, l.Dropped, l.Gone, l.Pending, out)}
	}
	var found []string
	in, out = in+l.Received, out+l.Forwarded+l.Unpublished
	if in != out {
		found = append(found, fmt.Sprintf("The nodes' ledgers do not add up: %d sent + %d received = %d, but %d delivered + %d offline + %d dropped + %d gone + %d pending + %d forwarded + %d unpublished = %d.",
			l.Sent, l.Received, in, l.Delivered, l.Offline, l.Dropped, l.Gone, l.Pending, l.Forwarded, l.Unpublished, out))
	}
	if n := l.Lost(); n < 0 {
		found = append(found, fmt.Sprintf("The nodes have received %d messages more than were forwarded.", -n))
	}
	return found
}

// samples reads the memory log. first is the moment of its first row.
func (d folder) samples(first int64) ([]report.Sample, error) {
	f, err := os.Open(d.path(logFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	defer f.Close()
	var (
		out []report.Sample
		row memlog.Sample
		r   = memlog.NewReader(f)
	)
	for {
		if err := r.Read(&row); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, fmt.Errorf("soak: %s: %w", logFile, err)
		}
		if row.RSS >= 0 {
			out = append(out, sampleOf(row, first))
		}
	}
}

// sampleOf is a row of the memory log as report wants it. first is the moment of the
// first row, or 0.
func sampleOf(row memlog.Sample, first int64) report.Sample {
	s := report.Sample{Time: row.Time, RSS: row.RSS * 1024, PSS: -1, Kernel: -1, Conns: row.Conns, CPU: row.CPU, Procs: row.Procs}
	if first != 0 && row.Elapsed >= 0 {
		s.Time = time.Unix(0, first).Add(row.Elapsed)
	}
	if row.PSS >= 0 {
		s.PSS = row.PSS * 1024
	}
	if row.Slab >= 0 {
		s.Kernel = (row.Slab + max(row.SockBuf, 0)) * 1024
	}
	return s
}

// draw draws the memory log: the article's picture, with connections below it.
func (d folder) draw(asked report.Asked) error {
	title := fmt.Sprintf("Mem usage with %d connections, %g msg/sec", asked.Conns, asked.Rate)
	if asked.Rate == 0 {
		title = fmt.Sprintf("Mem usage with %d connections, as many messages as go", asked.Conns)
	}
	return d.picture(title)
}

func (d folder) picture(title string) error {
	f, err := os.Open(d.path(logFile))
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	defer f.Close()
	series, err := report.Load(f, 1)
	if err != nil {
		return fmt.Errorf("soak: %s: %w", d.path(logFile), err)
	}
	picture := report.Picture{Title: title, Connections: true, Width: pictureWidth, Height: pictureHeight}
	if err := picture.Save(d.path(pictureFile), series); err != nil {
		return fmt.Errorf("soak: %s: %w", d.path(pictureFile), err)
	}
	return nil
}

package soak

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The command lines of the pieces, without the program's name. Those of a topology's
// nodes are in topology.go.

func serveArgs(cfg Config) []string {
	args := append([]string{serve, "--listen", anyPort, "--admin", anyPort, "--json"}, tokenArgs("--admin-token-file", cfg)...)
	if cfg.Engine != "" {
		args = append(args, "--engine", cfg.Engine)
	}
	return append(args, workersArgs(cfg.Workers)...)
}

// tokenArgs is the flag that names the file of tokens, if there is one.
func tokenArgs(flag string, cfg Config) []string {
	if cfg.TokenFile == "" {
		return nil
	}
	return []string{flag, cfg.TokenFile}
}

// workersArgs asks for several workers. One process without any is what there is unasked.
func workersArgs(n int) []string {
	if n < 2 {
		return nil
	}
	return []string{"--workers", strconv.Itoa(n)}
}

// memlogArgs follows the nodes. Of several, those that live are followed to the end
// when one has died.
func memlogArgs(cfg Config, pids []int, file string) []string {
	args := []string{mem}
	for _, pid := range pids {
		args = append(args, "--pid", strconv.Itoa(pid))
	}
	if len(pids) > 1 {
		args = append(args, "--follow")
	}
	return append(args, "--interval", cfg.Interval.String(), "-o", file)
}

// floodArgs opens a foreign server's URLs as they are; of our own it gives each front the same share of the ids, the first ones some of what is
// left over.
func floodArgs(cfg Config, p plan, fronts []string) []string {
	args := append([]string{flood, "--json", "--stats-every", p.report.String()}, workersArgs(cfg.floods)...)
	if cfg.floods > 1 {
		args = append(args, "--connect-timeout", crowdTimeout.String())
	}
	args = append(args, cfg.FloodOptions...)
	if cfg.Foreign != nil {
		return append(args, cfg.Foreign.URLs...)
	}
	for i, front := range fronts {
		from, to := i*cfg.Conns/len(fronts), (i+1)*cfg.Conns/len(fronts)
		if from < to {
			args = append(args, fmt.Sprintf("http://%s/test/{%d..%d}", front, from+1, to))
		}
	}
	return args
}

// crowdTimeout is the patience with a handshake where a hundred processes share the machine: one of them may well wait for a processor as
// long as the ten seconds of flood's own, and that it is slow is in its result anyway.
const crowdTimeout = time.Minute

// msggenArgs sends through the server's admin listener, or to NATS servers where there
// are any, or to where a foreign server takes messages.
func msggenArgs(cfg Config, p plan, admin string, servers []string) []string {
	to, token := "http://"+admin+"/send", tokenArgs("--token-file", cfg)
	if len(servers) > 0 {
		to, token = strings.Join(servers, ","), nil
	}
	if cfg.Foreign != nil {
		to = cfg.Foreign.To
	}
	args := []string{msggen, "--json", "--stats-every", p.report.String(), "--to", to,
		"--rate", strconv.FormatFloat(cfg.Rate, 'f', 9, 64), "--duration", cfg.Duration.String(),
		"--ids", strconv.Itoa(cfg.Conns)}
	return append(append(args, token...), cfg.MsggenOptions...)
}

package chaos

import (
	"fmt"
	"slices"
	"strings"
)

// fault is one thing that goes wrong, and what is done about it.
type fault struct {
	name string
	does string // for people, of its target: "nats-3 was killed"
	// costs tells whether messages that are due while it lasts may be lost.
	costs bool
}

// The faults, in the order in which they come if nothing else is asked for.
const (
	killFront   = "kill-front"
	killWorker  = "kill-worker"
	killNATS    = "kill-nats"
	killParent  = "kill-parent"
	killMsggen  = "kill-msggen"
	killFlood   = "kill-flood"
	stopFront   = "stop-front"
	restartNATS = "restart-nats"
	partition   = "partition"

	baseline = "baseline" // the slot without a fault
)

var faults = []fault{
	{killFront, "%s was killed", true},
	{killWorker, "%s was killed", true},
	{killNATS, "%s was killed", true},
	{killParent, "%s and its workers were killed", true},
	{killMsggen, "%s was killed", false}, // what it sent is with the node
	{killFlood, "%s, a client process, was killed", true},
	{stopFront, "%s stood still", true},
	{restartNATS, "%s was restarted", true},
	{partition, "%s was cut off from the other NATS servers", true},
}

// Faults returns the names of all faults, in their order.
func Faults() []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.name)
	}
	return out
}

// ParseFaults reads a list of faults as the user writes it: names with commas between, "all" or nothing for all of them. The order is kept; a
// fault may come more than once.
func ParseFaults(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "all" {
		return Faults(), nil
	}
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(Faults(), name) {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(Faults(), ", "))
		}
		out = append(out, name)
	}
	return out, nil
}

func faultOf(name string) fault {
	return faults[slices.IndexFunc(faults, func(f fault) bool { return f.name == name })]
}

package doctor

import (
	"fmt"
	"math"
)

// memory of the machine, or what the limits of a container leave of it. The kernel's part counts for a container too.
func memory(s Snapshot, n need) (Check, bool) {
	const name = "memory"
	free, where := s.Available, "available"
	if s.GroupFree != nil && (free == nil || *s.GroupFree < *free) {
		free, where = s.GroupFree, "left by the limit of its group (cgroup)"
	}
	if free == nil {
		return untold(name)
	}
	each := float64(n.perConn())
	if n.Workers == 0 && n.each > 0 { // more connections need more processes
		each += float64(n.ends*perProcess) / float64(n.each)
	}
	left := float64(*free) - float64(n.ends*perProcess)
	if n.Workers > 0 {
		left = float64(*free - n.processes()*perProcess)
	}
	most := max(int64(left/each), 0)
	c := Check{Name: name, State: n.bounded(most), Most: new(most),
		Has: size(*free) + " " + where,
		Needs: fmt.Sprintf("%s: for a connection %s B in the kernel and %s B in processes, %s for %s", size(n.bytes()),
			group(n.ends*kernelPerEnd), group(n.user()), size(n.processes()*perProcess), count(n.processes(), "process", "processes"))}
	if c.State == Missing {
		c.Else = fmt.Sprintf("ask for at most %s connections, or give the machine %s more", group(most), size(n.bytes()-*free))
		if free == s.GroupFree {
			c.Else = fmt.Sprintf("ask for at most %s connections, or raise the group's limit by %s", group(most), size(n.bytes()-*free))
		}
	}
	return c, true
}

// tasks are threads and processes.
func tasks(s Snapshot, n need) (Check, bool) {
	const name = "threads"
	limit, word, command := s.Threads, "kernel.threads-max", "kernel.threads-max"
	if s.Pids != nil && (limit == nil || *s.Pids < *limit) {
		limit, word, command = s.Pids, "pid_max, or pids.max of the group", "kernel.pid_max"
	}
	if limit == nil {
		return untoldOnLinux(s, name)
	}
	now := valueOf(s.Tasks)
	need := now + n.processes()*tasksEach
	c := Check{Name: name, State: OK, Has: fmt.Sprintf("%s (%s)", group(*limit), word), Needs: group(need)}
	if need > *limit {
		c.State, c.Fix = Missing, []string{fmt.Sprintf("sysctl -w %s=%d", command, roundUp(need))}
	}
	return c, true
}

// processors. What a message costs was measured on one kind of machine, so this is no more than advice.
func processors(s Snapshot, n need) (Check, bool) {
	cores, word := float64(s.Processors), count(int64(s.Processors), "processor", "processors")
	if s.Quota != nil && *s.Quota < cores {
		cores, word = *s.Quota, fmt.Sprintf("%.2g of %s (quota of its group)", *s.Quota, word)
	}
	if s.Governor != "" {
		word += ", governor " + s.Governor
	}
	c := Check{Name: "processors", State: OK, Has: word}
	if n.Rate > 0 {
		c.Needs = fmt.Sprintf("some %.2g of one for %s messages/s", n.Rate*perMessage, group(int64(n.Rate)))
	}
	switch {
	case n.Rate*perMessage > cores:
		c.State = Advice
		c.Else = fmt.Sprintf("ask for some %s messages/s, or put the pieces on several machines", group(int64(math.Round(cores/perMessage))))
	case s.Governor == "powersave":
		c.State, c.Fix = Advice, []string{"cpupower frequency-set -g performance"}
	case cores < 1:
		c.State = Advice
		c.Else = "give the group a whole processor: while its quota is used up nothing runs, and latency shows it"
	}
	return c, true
}

// clock is what latency is measured by. On one machine a monotonic clock is shared; beyond it the clocks' difference counts.
func clock(s Snapshot, n need) (Check, bool) {
	if s.Clock == "" && s.Synchronized == nil {
		return untoldOnLinux(s, "clock")
	}
	c := Check{Name: "clock", State: OK, Has: s.Clock}
	if s.Synchronized != nil && *s.Synchronized {
		c.Has += ", synchronized"
		if s.ClockErrorMS != nil {
			c.Has += fmt.Sprintf(" within %.3g ms", *s.ClockErrorMS)
		}
	} else if s.Synchronized != nil {
		c.Has += ", not synchronized"
	}
	switch {
	case s.Clock == "hpet" || s.Clock == "acpi_pm" || s.Clock == "jiffies":
		c.State = Advice
		c.Else = "a reading of this clock costs a system call and microseconds; boot with clocksource=tsc where the processor's is good"
	case n.ends == 1 && s.Synchronized != nil && !*s.Synchronized:
		c.State = Advice
		c.Else = "the other end has another clock: let both be synchronized (chronyd, ntpd), or give --clock, so that the difference is measured"
	}
	return c, true
}

package pace

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sort"
	"sync"
	"time"
)

// arrivals is how many arrivals are drawn together.
const arrivals = 512

// Poisson is a schedule of events at random: a Poisson process with the rates of Steps. Gaps between arrivals are
// independent and exponential; where the Steps come in bursts, a burst arrives as one, and the rates are kept. Equal seeds make
// equal schedules.
//
// The arrivals come in blocks. Each block has a random stream of its own and begins where the one before ended, which is remembered for
// all of them: 24 bytes a block, 50 KB a million arrivals. So any event's time can be asked for, at the price of drawing its block.
// A Poisson belongs to one goroutine; View makes another one's.
type Poisson struct {
	plan   Steps
	end    time.Duration
	seed   uint64
	blocks *blocks
	source *rand.ChaCha8 // set anew for each block
	dice   *rand.Rand    // draws from source
	block  int           // that due holds; -1: none
	due    [arrivals]time.Duration
}

// blocks is where each block begins that was drawn so far, and one more. All views share it.
type blocks struct {
	mu    sync.Mutex
	begin []place
}

// place is where the last arrival before a block was.
type place struct {
	step int
	at   float64       // in mean events of the step
	due  time.Duration // the same as a time since the start
}

// NewPoisson returns the schedule of random events with these rates. Those that would be due at end or later are never due.
func NewPoisson(rates Steps, seed uint64, end time.Duration) *Poisson {
	p := &Poisson{plan: rates, end: end, seed: seed, blocks: &blocks{begin: []place{{}}}}
	return p.View()
}

// View returns the same schedule for another goroutine.
func (p *Poisson) View() *Poisson {
	source := rand.NewChaCha8([32]byte{})
	return &Poisson{plan: p.plan, end: p.end, seed: p.seed, blocks: p.blocks, source: source, dice: rand.New(source), block: -1}
}

func (p *Poisson) burst() uint64 { return max(p.plan.burst, 1) }

// Due is the time from the start at which event n is due, and math.MaxInt64 where it never is.
func (p *Poisson) Due(n uint64) time.Duration {
	i := n / p.burst()
	if block := i / arrivals; uint64(p.block) != block {
		begin := p.reach(func(last int, at place) bool { return uint64(last) >= block })
		if uint64(len(begin)) <= block {
			return forever
		}
		p.draw(int(block), begin[block])
	}
	return p.due[i%arrivals]
}

// DueBy is the number of events that are due at the time elapsed since the start or before. It draws all of them, once.
func (p *Poisson) DueBy(elapsed time.Duration) uint64 {
	if elapsed < 0 {
		return 0
	}
	elapsed = min(elapsed, forever-1)
	begin := p.reach(func(_ int, at place) bool { return at.due > elapsed })
	block := sort.Search(len(begin), func(i int) bool { return begin[i].due > elapsed }) - 1
	if p.block != block {
		p.draw(block, begin[block])
	}
	n := sort.Search(arrivals, func(i int) bool { return p.due[i] > elapsed })
	return (uint64(block)*arrivals + uint64(n)) * p.burst()
}

// reach draws further blocks until the last beginning is far enough, or nothing more is ever due, and returns all that are known.
func (p *Poisson) reach(enough func(last int, at place) bool) []place {
	p.blocks.mu.Lock()
	defer p.blocks.mu.Unlock()
	for {
		last := len(p.blocks.begin) - 1
		at := p.blocks.begin[last]
		if enough(last, at) || at.due == forever {
			return p.blocks.begin
		}
		p.blocks.begin = append(p.blocks.begin, p.draw(last, at))
	}
}

// draw makes p.due the arrivals of a block that begins there, and returns where the next one begins.
func (p *Poisson) draw(block int, now place) place {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], p.seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(block))
	copy(key[16:], "poisson")
	p.source.Seed(key)
	for i := range p.due {
		now = p.next(now)
		p.due[i] = now.due
	}
	p.block = block
	return now
}

// next is the arrival after now. What would arrive behind the end of a step does not: the wait begins anew with the next
// step, as a process that remembers nothing may.
func (p *Poisson) next(now place) place {
	for ; now.due < p.end && now.step < len(p.plan.steps); now.step, now.at = now.step+1, 0 {
		step := &p.plan.steps[now.step]
		now.at += p.dice.ExpFloat64() * float64(p.burst())
		if at, ok := step.arrival(now.at); ok {
			if now.due = step.Begin + min(at, forever-step.Begin); now.due >= p.end {
				now.due = forever
			}
			return now
		}
	}
	return place{step: len(p.plan.steps), due: forever}
}

// arrival is the time since the step's beginning by which it has had so many events in the mean, or false where it has fewer.
func (s *Step) arrival(mean float64) (time.Duration, bool) {
	var at float64
	switch {
	case s.slope.length > 0:
		if mean >= s.slope.mean() {
			return 0, false
		}
		a, b, pk := float64(s.slope.a), float64(s.slope.b), float64(s.slope.per)*mean
		under := a*a + 2*(b-a)*pk/float64(s.slope.length)
		at = 2 * pk / (a + math.Sqrt(max(under, 0)))
	case s.rate.Unlimited(): // a pause
		return 0, false
	default:
		at = mean * float64(s.rate.Per) / float64(s.rate.Events)
	}
	if at >= math.MaxInt64 {
		return forever, true
	}
	return time.Duration(at), s.For == forever || time.Duration(at) < s.For
}

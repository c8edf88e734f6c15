package main

import (
	"bufio"
	"cmp"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A cost is what one contestant needs for one operation.
type cost struct {
	ns     []float64 // of each time that the benchmark ran
	allocs float64   // or -1 when nobody counted
}

// median is the middle one of the times.
func (c *cost) median() float64 {
	s := slices.Sorted(slices.Values(c.ns))
	return s[len(s)/2]
}

// results are what benchmarks printed: by benchmark and contestant.
type results struct {
	machine string
	costs   map[string]map[string]*cost
}

func (r *results) add(benchmark, contestant string, ns, allocs float64) {
	if r.costs[benchmark] == nil {
		r.costs[benchmark] = map[string]*cost{}
	}
	c := r.costs[benchmark][contestant]
	if c == nil {
		c = &cost{allocs: allocs}
		r.costs[benchmark][contestant] = c
	}
	if ns >= 0 {
		c.ns = append(c.ns, ns)
	}
	c.allocs = max(c.allocs, allocs)
}

var processors = regexp.MustCompile(`-\d+$`)

// parse reads the lines of benchmarks. There are two forms: contestants that run one after
// the other are the last part of the name, with ns/op; those that take turns have metrics
// of their own, NAME-ns and NAME-allocs.
func parse(in io.Reader) (*results, error) {
	r := &results{costs: map[string]map[string]*cost{}}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if about, ok := strings.CutPrefix(line, "# "); ok {
			r.machine = about
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, err
			}
			metrics[fields[i+1]] = v
		}
		turns := false
		for unit, v := range metrics {
			contestant, ok := strings.CutSuffix(unit, "-ns")
			if !ok || strings.HasSuffix(contestant, "-min") {
				continue
			}
			turns = true
			allocs, counted := metrics[contestant+"-allocs"]
			if !counted {
				allocs = -1
			}
			r.add(name, contestant, v, allocs)
		}
		if benchmark, contestant, ok := cutLast(name); ok && !turns {
			r.add(benchmark, contestant, metrics["ns/op"], metrics["allocs/op"])
		}
	}
	return r, lines.Err()
}

func cutLast(name string) (benchmark, contestant string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// byCost are the contestants of a benchmark but for some, the fastest first.
func byCost(costs map[string]*cost, but ...string) []string {
	var names []string
	for name := range costs {
		if !slices.Contains(but, name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(costs[a].median(), costs[b].median()), strings.Compare(a, b))
	})
	return names
}

// Runs the script's cases against a server; see script.proto.
//
//	client --target=HOST:PORT --script=FILE [--drain]
package main

import (
	"flag"
	"fmt"
	"io/ioutil"
	"log"
	"sync"
	"time"

	"meshgate/conformance"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const keepaliveTimeout = 5 * time.Second

func say(line *conformance.Line) {
	json, err := (&jsonpb.Marshaler{}).MarshalToString(line)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(json)
}

func dial(target string, keepaliveMs uint32) *grpc.ClientConn {
	options := []grpc.DialOption{grpc.WithInsecure()}
	if keepaliveMs > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                time.Duration(keepaliveMs) * time.Millisecond,
			Timeout:             keepaliveTimeout,
			PermitWithoutStream: true,
		}))
	}
	conn, err := grpc.Dial(target, options...)
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func runOnce(conn *grpc.ClientConn, c *conformance.Case) *conformance.Outcome {
	if standard[c.Method] != nil {
		return runStandard(conn, c)
	}
	end := time.Now().Add(patience)
	for {
		outcome := newCall(conn, c).run()
		if c.UntilCode == 0 || outcome.Code == c.UntilCode || time.Now().After(end) {
			return outcome
		}
	}
}

// All calls of a case: the outcome they have in common, or the first that is different from the first.
func runAll(conn *grpc.ClientConn, c *conformance.Case) *conformance.Outcome {
	if c.Calls < 2 {
		return runOnce(conn, c)
	}
	outcomes := make([]*conformance.Outcome, c.Calls)
	var running sync.WaitGroup
	for i := range outcomes {
		running.Add(1)
		go func(i int) {
			defer running.Done()
			outcomes[i] = runOnce(conn, c)
		}(i)
	}
	running.Wait()
	told := outcomes[0]
	for _, outcome := range outcomes {
		if !proto.Equal(outcome, outcomes[0]) {
			told = outcome
			break
		}
	}
	same := uint32(0)
	for _, outcome := range outcomes {
		if proto.Equal(outcome, told) {
			same++
		}
	}
	told = proto.Clone(told).(*conformance.Outcome)
	told.Calls = same
	return told
}

// Has calls in progress when the server is told to drain, which happens on the line that says so.
func runDrain(conn *grpc.ClientConn, cases []*conformance.Case) {
	outcomes := make([]chan *conformance.Outcome, len(cases))
	for i, c := range cases {
		outcomes[i] = make(chan *conformance.Outcome, 1)
		if c.UntilCode != 0 {
			continue
		}
		begun := newCall(conn, c)
		go func(i int) { outcomes[i] <- begun.run() }(i)
		begun.waitStarted()
	}
	say(&conformance.Line{Ready: true})
	for i, c := range cases {
		if c.UntilCode != 0 {
			outcomes[i] <- runOnce(conn, c)
		}
	}
	for i, c := range cases {
		say(&conformance.Line{Case: c.Name, Outcome: <-outcomes[i]})
	}
}

func isFor(c *conformance.Case, drain bool) bool {
	for _, client := range c.NotFor {
		if client == "go" {
			return false
		}
	}
	return c.Drain == drain
}

func main() {
	target := flag.String("target", "", "HOST:PORT")
	path := flag.String("script", "", "the script, in binary")
	flag.String("descriptors", "", "not needed")
	drain := flag.Bool("drain", false, "run the cases that drain, and no others")
	flag.Parse()
	serialized, err := ioutil.ReadFile(*path)
	if err != nil {
		log.Fatal(err)
	}
	script := &conformance.Script{}
	if err := proto.Unmarshal(serialized, script); err != nil {
		log.Fatal(err)
	}
	conn := dial(*target, 0)
	defer conn.Close()
	var cases []*conformance.Case
	for _, c := range script.Cases {
		if isFor(c, *drain) {
			cases = append(cases, c)
		}
	}
	if *drain {
		runDrain(conn, cases)
		return
	}
	for _, c := range cases {
		own := conn
		if c.KeepaliveMs > 0 {
			own = dial(*target, c.KeepaliveMs)
			defer own.Close()
		}
		say(&conformance.Line{Case: c.Name, Outcome: runAll(own, c)})
	}
}

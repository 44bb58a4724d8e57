package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"meshgate/conformance"

	"github.com/golang/protobuf/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
)

// Of calls that are no case themselves, and of cases that hang against all expectation.
const patience = 30 * time.Second

var ids int64

func payload(seed, size uint32) []byte {
	made := make([]byte, size)
	for i := range made {
		made[i] = byte((seed + uint32(i)) % 251)
	}
	return made
}

// One call of a case of the Conformance service.
type call struct {
	conn    *grpc.ClientConn
	client  conformance.ConformanceClient
	c       *conformance.Case
	plan    *conformance.Plan
	outcome *conformance.Outcome
	cancel  context.CancelFunc
	// One for each response.
	answers chan struct{}
	over    chan struct{}
}

func newCall(conn *grpc.ClientConn, c *conformance.Case) *call {
	plan := &conformance.Plan{}
	if c.Plan != nil {
		plan = proto.Clone(c.Plan).(*conformance.Plan)
	}
	if c.CancelWhenStarted || c.AskCancelled || c.Drain {
		plan.Id = fmt.Sprintf("go-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), atomic.AddInt64(&ids, 1))
	}
	return &call{
		conn: conn, client: conformance.NewConformanceClient(conn), c: c, plan: plan,
		outcome: &conformance.Outcome{}, answers: make(chan struct{}, 1000), over: make(chan struct{}),
	}
}

func (r *call) run() *conformance.Outcome {
	ctx := context.Background()
	switch {
	case r.c.TimeoutMs != 0:
		ctx, r.cancel = context.WithTimeout(ctx, time.Duration(r.c.TimeoutMs)*time.Millisecond)
	case !r.plan.Report:
		ctx, r.cancel = context.WithTimeout(ctx, patience)
	default:
		ctx, r.cancel = context.WithCancel(ctx)
	}
	defer r.cancel()
	for _, entry := range r.c.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, entry.Key, expand(entry))
	}
	if r.c.CancelWhenStarted {
		go func() {
			r.waitStarted()
			r.cancel()
		}()
	}
	var header, trailer metadata.MD
	options := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	if r.c.Compress {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	err := r.exchange(ctx, options)
	tellEnd(r.c, err, header, trailer, r.outcome)
	if r.c.AskCancelled {
		r.outcome.ServerSawCancel = r.seen(r.client.SeenCancelled)
	}
	return r.outcome
}

// Makes the call and takes its responses; returns how it has ended.
func (r *call) exchange(ctx context.Context, options []grpc.CallOption) error {
	switch r.c.Method {
	case "ServerStream":
		stream, err := r.client.ServerStream(ctx, r.request(0), options...)
		if err != nil {
			return err
		}
		return r.readAll(stream)
	case "ClientStream":
		stream, err := r.client.ClientStream(ctx, options...)
		if err != nil {
			return err
		}
		r.writeAll(stream)
		response := &conformance.CallResponse{}
		if err := stream.RecvMsg(response); err != nil {
			return err
		}
		r.onResponse(response)
		return nil
	case "Bidi":
		stream, err := r.client.Bidi(ctx, options...)
		if err != nil {
			return err
		}
		written := make(chan struct{})
		go func() {
			defer close(written)
			r.writeAll(stream)
		}()
		err = r.readAll(stream)
		close(r.over)
		<-written
		return err
	}
	path := r.c.Method
	if !strings.HasPrefix(path, "/") {
		path = "/meshgate.conformance.v1.Conformance/" + path
	}
	response := &conformance.CallResponse{}
	err := r.conn.Invoke(ctx, path, r.request(0), response, options...)
	if err == nil {
		r.onResponse(response)
	}
	return err
}

func (r *call) request(index uint32) *conformance.CallRequest {
	request := &conformance.CallRequest{Payload: payload(r.plan.Seed, r.c.RequestBytes)}
	if index == 0 {
		request.Plan = r.plan
	}
	return request
}

func (r *call) writeAll(stream grpc.ClientStream) {
	for i := uint32(0); i < r.c.Requests; i++ {
		if r.c.PingPong && i > 0 {
			select {
			case <-r.answers:
			case <-r.over:
				return
			}
		}
		if stream.SendMsg(r.request(i)) != nil {
			return
		}
	}
	if !r.c.KeepOpen {
		stream.CloseSend()
	}
}

func (r *call) readAll(stream grpc.ClientStream) error {
	for {
		response := &conformance.CallResponse{}
		if err := stream.RecvMsg(response); err != nil {
			return endOf(err)
		}
		r.onResponse(response)
	}
}

func (r *call) onResponse(response *conformance.CallResponse) {
	o := r.outcome
	intact := response.Index == o.Messages && bytes.Equal(response.Payload, payload(r.plan.Seed, r.plan.PayloadBytes))
	o.Intact = intact && (o.Messages == 0 || o.Intact)
	o.Messages++
	o.Bytes += uint32(len(response.Payload))
	o.Requests = response.Requests
	o.RequestBytes = uint32(response.RequestBytes)
	o.RequestsIntact = response.RequestsIntact
	if response.Report != nil {
		tellReport(r.c, response.Report, o)
	}
	if o.Messages == r.c.CancelAfterMessages {
		r.cancel()
	}
	select {
	case r.answers <- struct{}{}:
	default:
	}
}

func (r *call) waitStarted() { r.seen(r.client.SeenStarted) }

func (r *call) seen(method func(context.Context, *conformance.SeenRequest, ...grpc.CallOption) (*conformance.SeenResponse, error)) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	response, err := method(ctx, &conformance.SeenRequest{Id: r.plan.Id})
	return err == nil && response.Seen
}

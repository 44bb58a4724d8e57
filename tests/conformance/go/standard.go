package main

import (
	"context"
	"fmt"
	"io"
	"sort"

	"meshgate/conformance"

	"github.com/golang/protobuf/proto"
	"github.com/golang/protobuf/protoc-gen-go/descriptor"
	"google.golang.org/grpc"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
)

// Cases of the services that gRPC brings: health and reflection.
var standard = map[string]func(context.Context, *grpc.ClientConn, *conformance.Case, *conformance.Outcome, []grpc.CallOption) error{
	"Health/Check": check,
	"Health/Watch": watch,
	"Reflection":   reflect,
}

func runStandard(conn *grpc.ClientConn, c *conformance.Case) *conformance.Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	outcome := &conformance.Outcome{}
	var header, trailer metadata.MD
	err := standard[c.Method](ctx, conn, c, outcome, []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)})
	tellEnd(c, err, header, trailer, outcome)
	return outcome
}

// The nil that a stream's good end is otherwise told as io.EOF.
func endOf(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func check(ctx context.Context, conn *grpc.ClientConn, c *conformance.Case, outcome *conformance.Outcome, options []grpc.CallOption) error {
	response, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{Service: c.HealthService}, options...)
	if err == nil {
		outcome.Answers = append(outcome.Answers, response.Status.String())
	}
	return err
}

func watch(ctx context.Context, conn *grpc.ClientConn, c *conformance.Case, outcome *conformance.Outcome, options []grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := health.NewHealthClient(conn).Watch(ctx, &health.HealthCheckRequest{Service: c.HealthService}, options...)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return endOf(err)
		}
		outcome.Answers = append(outcome.Answers, response.Status.String())
		cancel()
	}
}

func reflect(ctx context.Context, conn *grpc.ClientConn, c *conformance.Case, outcome *conformance.Outcome, options []grpc.CallOption) error {
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx, options...)
	if err != nil {
		return err
	}
	request := &reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_ListServices{ListServices: "*"}}
	if c.Symbol != "" {
		request.MessageRequest = &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: c.Symbol}
	}
	stream.Send(request)
	stream.CloseSend()
	for {
		response, err := stream.Recv()
		if err != nil {
			return endOf(err)
		}
		outcome.Answers = append(outcome.Answers, answers(response, c.Symbol)...)
	}
}

func answers(response *reflection.ServerReflectionResponse, symbol string) []string {
	if failed := response.GetErrorResponse(); failed != nil {
		return []string{fmt.Sprint("error ", failed.ErrorCode)}
	}
	var names []string
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	for _, serialized := range response.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptor.FileDescriptorProto{}
		if proto.Unmarshal(serialized, file) != nil {
			continue
		}
		for _, service := range file.Service {
			if file.GetPackage()+"."+service.GetName() != symbol {
				continue
			}
			for _, method := range service.Method {
				names = append(names, method.GetName())
			}
		}
	}
	sort.Strings(names)
	return names
}

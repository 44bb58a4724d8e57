package main

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"meshgate/conformance"

	"github.com/golang/protobuf/ptypes"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Not the server's doing, or different each time.
var leftOut = map[string]bool{"date": true, "grpc-status-details-bin": true}

func expand(entry *conformance.MetadataEntry) string {
	times := int(entry.Times)
	if times == 0 {
		times = 1
	}
	return strings.Repeat(string(entry.Value), times)
}

func line(key, value string) string {
	if len(value) > 64 {
		return fmt.Sprintf("%s: (%d)", key, len(value))
	}
	if strings.HasSuffix(key, "-bin") {
		value = hex.EncodeToString([]byte(value))
	}
	return key + ": " + value
}

// Ordered by key, values of one key as they came.
func lines(received metadata.MD, wanted func(key string) bool) []string {
	var keys []string
	for key := range received {
		if wanted(key) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	var told []string
	for _, key := range keys {
		for _, value := range received[key] {
			told = append(told, line(key, value))
		}
	}
	return told
}

func isOurs(key string) bool  { return strings.HasPrefix(key, "x-") }
func isOther(key string) bool { return !isOurs(key) && !leftOut[key] }

func tellEnd(c *conformance.Case, err error, header, trailer metadata.MD, outcome *conformance.Outcome) {
	end, _ := status.FromError(err)
	outcome.Code = int32(end.Code())
	if c.TellMessage {
		outcome.Message = end.Message()
	}
	outcome.InitialMetadata = lines(header, isOurs)
	outcome.TrailingMetadata = lines(trailer, isOurs)
	outcome.OtherMetadata = append(lines(header, isOther), lines(trailer, isOther)...)
	if details := end.Proto().GetDetails(); len(details) > 0 {
		outcome.Details = toDetails(end.Proto())
	}
}

func toDetails(end *spb.Status) *conformance.Details {
	details := &conformance.Details{Code: end.Code, Message: end.Message}
	for _, detail := range end.Details {
		info := &errdetails.ErrorInfo{}
		if ptypes.UnmarshalAny(detail, info) == nil {
			details.Info = &conformance.ErrorInfo{Reason: info.Reason, Domain: info.Domain, Metadata: info.Metadata}
		}
	}
	return details
}

func tellReport(c *conformance.Case, report *conformance.Report, outcome *conformance.Outcome) {
	for _, entry := range report.Metadata {
		outcome.ServerMetadata = append(outcome.ServerMetadata, line(entry.Key, string(entry.Value)))
	}
	outcome.HasPeer = report.HasPeer
	outcome.HasDeadline = report.HasDeadline
	set, left := int64(c.TimeoutMs), report.DeadlineLeftMs
	// grpc-timeout has eight digits: seconds of days are rounded up to minutes or hours.
	outcome.DeadlinePlausible = report.HasDeadline && set > 0 && left >= set-30_000 && left <= set+set/100
}

"""proto_files, cc_proto_library, cc_grpc_library: run Debian's protoc and grpc_cpp_plugin."""

ProtoFilesInfo = provider("A set of .proto files.", fields = {"srcs": "depset of .proto files, transitive"})

_PROTOC = "/usr/bin/protoc"
_PLUGIN = "/usr/bin/grpc_cpp_plugin"

def _proto_files_impl(ctx):
    srcs = depset(ctx.files.srcs, transitive = [d[ProtoFilesInfo].srcs for d in ctx.attr.deps])
    return [DefaultInfo(files = depset(ctx.files.srcs)), ProtoFilesInfo(srcs = srcs)]

proto_files = rule(
    implementation = _proto_files_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"]),
        "deps": attr.label_list(providers = [ProtoFilesInfo]),
    },
)

def _gen_impl(ctx):
    root = ctx.attr.import_root  # workspace-relative folder that imports start from
    outs = []
    exts = [".grpc.pb.h", ".grpc.pb.cc"] if ctx.attr.grpc else [".pb.h", ".pb.cc"]
    for f in ctx.attr.proto[DefaultInfo].files.to_list():
        rel = f.short_path[len(ctx.label.package) + 1:] if ctx.label.package else f.short_path
        for e in exts:
            outs.append(ctx.actions.declare_file(rel[:-len(".proto")] + e))
    gen_root = ctx.bin_dir.path + ("/" + root if root else "")
    args = ctx.actions.args()
    args.add("-I" + (root or "."))
    args.add("-I/usr/include")  # google/protobuf/*.proto
    if ctx.attr.grpc:
        args.add("--plugin=protoc-gen-grpc=" + _PLUGIN)
        args.add("--grpc_out=generate_mock_code=false:" + gen_root)
    else:
        args.add("--cpp_out=" + gen_root)
    args.add_all(ctx.attr.proto[DefaultInfo].files)
    ctx.actions.run(
        executable = _PROTOC,
        arguments = [args],
        inputs = ctx.attr.proto[ProtoFilesInfo].srcs,
        outputs = outs,
        mnemonic = "GrpcGen" if ctx.attr.grpc else "ProtoGen",
        progress_message = "Generating %s" % ctx.label,
        use_default_shell_env = True,
    )
    return [
        DefaultInfo(files = depset(outs)),
        OutputGroupInfo(
            hdrs = depset([o for o in outs if o.extension == "h"]),
            srcs = depset([o for o in outs if o.extension == "cc"]),
        ),
    ]

_gen = rule(
    implementation = _gen_impl,
    attrs = {
        "proto": attr.label(providers = [ProtoFilesInfo]),
        "grpc": attr.bool(),
        "import_root": attr.string(),
    },
    output_to_genfiles = False,
)

def cc_proto_library(name, proto, deps = [], import_root = "", grpc = False, **kw):
    """C++ library for a proto_files target: its messages, or with grpc = True only its service bindings.

    Args:
      name: target name
      proto: proto_files target
      deps: cc_proto_library targets of the imported files
      import_root: folder, relative to the workspace, that import paths start from;
        "" or this package or a parent of it
      grpc: generate the service bindings instead; the messages then come from a cc_proto_library in deps
      **kw: passed to cc_library
    """
    _gen(name = name + "_gen", proto = proto, import_root = import_root, grpc = grpc)
    gens = [":" + name + "_gen"]
    for group in ["hdrs", "srcs"]:
        native.filegroup(name = name + "_" + group, srcs = gens, output_group = group)
    inc = []
    if import_root:
        # This package is import_root or below it: climb from the package to import_root.
        depth = len(native.package_name()[len(import_root):].strip("/").split("/")) if native.package_name() != import_root else 0
        inc = ["/".join([".."] * depth) if depth else "."]
    native.cc_library(
        name = name,
        srcs = [":" + name + "_srcs"],
        hdrs = [":" + name + "_hdrs"],
        includes = inc,
        copts = ["-w"],  # generated code
        deps = deps + ["@system//:grpc++" if grpc else "@system//:protobuf"],
        **kw
    )

def cc_grpc_library(name, **kw):
    """cc_proto_library with grpc = True.

    Args:
      name: target name
      **kw: passed to cc_proto_library
    """
    cc_proto_library(name = name, grpc = True, **kw)

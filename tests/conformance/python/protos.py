"""Message classes from the descriptor set that the build makes, since Debian's packages have none of them."""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_classes = {}


def load(path):
    with open(path, "rb") as file:
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    names = [file.name for file in descriptors.file]
    _classes.update(message_factory.MessageFactory(pool).GetMessages(names))


def conformance(name):
    return _classes["meshgate.conformance.v1." + name]


def other(name):
    return _classes[name]

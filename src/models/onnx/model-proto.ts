/**
 * The subset of onnx.proto that the towers need. The number handed to `int`, `text` and `message` is
 * the field's number there: https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type PlacedWeight, placeWeights } from "./external-data.ts";
import {
  type Attribute,
  CONTRIB_DOMAIN,
  type Constant,
  type ElementType,
  elementTypes,
  type Graph,
  type GraphNode,
  type Opset,
  type ValueInfo,
} from "./graph.ts";

/** The format's version that came with each version of the operators, at the latest. */
const irVersions: Readonly<Record<Opset, number>> = { 17: 8, 21: 10 };
const CONTRIB_VERSION = 1;
/** `AttributeProto.AttributeType`. */
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;
/** `TensorProto.DataLocation.EXTERNAL`. */
const EXTERNAL = 1;

/**
 * Encodes a graph as an ONNX `ModelProto`, without its weights' values.
 *
 * @param dataFile name of the file in the same folder that holds the weights, as `placeWeights` lays
 *   them out.
 */
export function encodeModel(graph: Graph, dataFile: string): Uint8Array<ArrayBuffer> {
  const model = new BinaryWriter();
  int(model, 1, irVersions[graph.opset]);
  text(model, 2, "imagesvc");
  message(model, 7, () => writeGraph(model, graph, dataFile));
  for (const [domain, version] of [
    ["", graph.opset] as const,
    [CONTRIB_DOMAIN, CONTRIB_VERSION] as const,
  ]) {
    message(model, 8, () => {
      text(model, 1, domain);
      int(model, 2, version);
    });
  }
  return model.finish();
}

function writeGraph(to: BinaryWriter, graph: Graph, dataFile: string): void {
  for (const node of graph.nodes) message(to, 1, () => writeNode(to, node));
  text(to, 2, graph.name);
  for (const constant of graph.constants) message(to, 5, () => writeConstant(to, constant));
  for (const placed of placeWeights(graph).placed) {
    message(to, 5, () => writeExternalTensor(to, placed, dataFile));
  }
  for (const input of graph.inputs) message(to, 11, () => writeValueInfo(to, input));
  for (const output of graph.outputs) message(to, 12, () => writeValueInfo(to, output));
}

function writeNode(to: BinaryWriter, node: GraphNode): void {
  for (const input of node.inputs) text(to, 1, input);
  text(to, 2, node.output);
  text(to, 3, node.output);
  text(to, 4, node.operator);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(to, 5, () => writeAttribute(to, name, attribute));
  }
  text(to, 7, node.domain);
}

function writeAttribute(to: BinaryWriter, name: string, attribute: Attribute): void {
  text(to, 1, name);
  if ("float" in attribute) {
    to.tag(2, WireType.Bit32).float(attribute.float);
    int(to, 20, attributeTypes.float);
  } else if ("int" in attribute) {
    int(to, 3, attribute.int);
    int(to, 20, attributeTypes.int);
  } else {
    for (const value of attribute.ints) int(to, 8, value);
    int(to, 20, attributeTypes.ints);
  }
}

function writeConstant(to: BinaryWriter, { name, shape, values }: Constant): void {
  writeTensorType(to, name, shape, typeOf(values));
  to.tag(9, WireType.LengthDelimited).bytes(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  );
}

function typeOf(values: Constant["values"]): ElementType {
  if (values instanceof Float32Array) return "float32";
  if (values instanceof Uint8Array) return "uint8";
  return values instanceof Int8Array ? "int8" : "int64";
}

function writeExternalTensor(to: BinaryWriter, placed: PlacedWeight, dataFile: string): void {
  writeTensorType(to, placed.weight.name, placed.weight.shape, placed.weight.type);
  const place = { location: dataFile, offset: placed.offset, length: placed.bytes };
  for (const [key, value] of Object.entries(place)) {
    message(to, 13, () => {
      text(to, 1, key);
      text(to, 2, String(value));
    });
  }
  int(to, 14, EXTERNAL);
}

function writeTensorType(
  to: BinaryWriter,
  name: string,
  shape: readonly number[],
  type: ElementType,
): void {
  for (const length of shape) int(to, 1, length);
  int(to, 2, elementTypes[type]);
  text(to, 8, name);
}

function writeValueInfo(to: BinaryWriter, { name, type, shape }: ValueInfo): void {
  text(to, 1, name);
  message(to, 2, () =>
    message(to, 1, () => {
      int(to, 1, elementTypes[type]);
      message(to, 2, () => {
        for (const length of shape) {
          message(to, 1, () => {
            if (typeof length === "number") int(to, 1, length);
            else text(to, 2, length);
          });
        }
      });
    }),
  );
}

function message(to: BinaryWriter, field: number, write: () => void): void {
  to.tag(field, WireType.LengthDelimited).fork();
  write();
  to.join();
}

function int(to: BinaryWriter, field: number, value: number): void {
  to.tag(field, WireType.Varint).int64(value);
}

function text(to: BinaryWriter, field: number, value: string): void {
  to.tag(field, WireType.LengthDelimited).string(value);
}

/** Random values of an Avro type, as our codec takes and gives them. */
import avro, { type Type } from "avsc";
import fc from "fast-check";

const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

const PRIMITIVES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  null: fc.constant(null),
  boolean: fc.boolean(),
  int,
  "abstract:long": fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  double: fc.double({ noNaN: true }),
  bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  string: fc.string({ unit: "binary", maxLength: 80 }),
};

export function arbitraryOf(type: Type): fc.Arbitrary<unknown> {
  if (type instanceof avro.types.RecordType) {
    return fc.record(Object.fromEntries(type.fields.map((field) => [field.name, arbitraryOf(field.type)])), {
      noNullPrototype: true,
    });
  }
  if (type instanceof avro.types.ArrayType) return fc.array(arbitraryOf(type.itemsType), { maxLength: 3 });
  if (type instanceof avro.types.MapType) {
    return fc.dictionary(
      fc.string({ maxLength: 5 }).filter((key) => key !== "__proto__"),
      arbitraryOf(type.valuesType as Type),
      {
        maxKeys: 3,
        noNullPrototype: true,
      },
    );
  }
  if (type instanceof avro.types.UnwrappedUnionType) return fc.oneof(...type.types.map(arbitraryOf));
  if (type instanceof avro.types.EnumType) return fc.constantFrom(...type.symbols);
  if (type instanceof avro.types.FixedType) {
    return fc.uint8Array({ minLength: type.size, maxLength: type.size }).map((bytes) => Buffer.from(bytes));
  }
  return PRIMITIVES[type.typeName]!;
}

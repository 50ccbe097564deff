"""A model for the tests: measures each row, and fails where a row asks for it."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class Measure(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {one.name: one for one in payload.inputs}
        vectors = NumpyCodec.decode_input(inputs["vector"])
        texts = StringCodec.decode_input(inputs["text"])
        images = Base64Codec.decode_input(inputs["image"])
        ids = NumpyCodec.decode_input(inputs["id"])
        if "refuse" in texts:
            raise InferenceError("this text is not for me")
        if "crash" in texts:
            raise RuntimeError("the model fell over")
        rows = len(texts)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("doubled", vectors * 2),
                NumpyCodec.encode_output("next", ids.reshape(rows) + 1),
                NumpyCodec.encode_output("bytes", np.array([len(image) for image in images], dtype="int32")),
                StringCodec.encode_output("shout", [text.upper() for text in texts]),
                Base64Codec.encode_output("copy", images),
            ],
        )

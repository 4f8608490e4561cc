package ai.onnxruntime;

import java.nio.FloatBuffer;

public abstract class OnnxTensor extends OnnxTensorLike {
    public abstract FloatBuffer getFloatBuffer();

    public static native OnnxTensor createTensor(OrtEnvironment env, Object data) throws OrtException;

    public static native OnnxTensor createTensor(OrtEnvironment env, FloatBuffer data, long[] shape) throws OrtException;
}

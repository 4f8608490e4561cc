package ai.onnxruntime;

import java.util.Map;
import java.util.Optional;
import java.util.Set;

public abstract class OrtSession implements AutoCloseable {
    public abstract Result run(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException;

    public abstract Result run(Map<String, ? extends OnnxTensorLike> inputs, Set<String> requestedOutputs)
            throws OrtException;

    public abstract static class Result implements AutoCloseable {
        public abstract Optional<OnnxValue> get(String key);

        @Override
        public abstract void close();
    }

    public static class SessionOptions {
        public enum OptLevel { NO_OPT, BASIC_OPT, EXTENDED_OPT, ALL_OPT }

        public native void setOptimizationLevel(OptLevel level) throws OrtException;

        public native void setMemoryPatternOptimization(boolean memoryPattern) throws OrtException;

        public native void setCPUArenaAllocator(boolean useArena) throws OrtException;
    }
}

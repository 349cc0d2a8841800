package dev.paraflow.e2e;

import java.util.Set;
import org.elasticsearch.cluster.metadata.DataStream;
import org.elasticsearch.features.FeatureSpecification;
import org.elasticsearch.features.NodeFeature;

/**
 * Says that the node has failure stores. The server itself has them; in a full distribution the module data-streams says so for
 * it, which the distribution for tests lacks.
 */
public final class FailureStores implements FeatureSpecification {
    @Override
    public Set<NodeFeature> getFeatures() {
        return Set.of(DataStream.DATA_STREAM_FAILURE_STORE_FEATURE);
    }
}

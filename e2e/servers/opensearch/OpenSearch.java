package dev.paraflow.e2e;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.node.OpenSearchRunnerNode;
import org.opensearch.analysis.common.CommonAnalysisModulePlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.index.mapper.MapperExtrasModulePlugin;
import org.opensearch.index.reindex.ReindexModulePlugin;
import org.opensearch.ingest.common.IngestCommonModulePlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.painless.PainlessModulePlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4ModulePlugin;

/**
 * One OpenSearch node in the folder that is its only argument, with the settings of {@code config/opensearch.yml} there,
 * and with the modules that a distribution has and our tests use. It runs until its process is ended.
 */
public final class OpenSearch {
    private static final List<Class<? extends Plugin>> MODULES = List.of(
        CommonAnalysisModulePlugin.class,
        IngestCommonModulePlugin.class,
        MapperExtrasModulePlugin.class,
        Netty4ModulePlugin.class,
        PainlessModulePlugin.class,
        ReindexModulePlugin.class);

    private OpenSearch() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]).toAbsolutePath();
        Settings home = Settings.builder().put("path.home", folder).build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            home, Map.of(), folder.resolve("config"), () -> "opensearch");
        new OpenSearchRunnerNode(environment, MODULES).start();
        // All threads of a node are daemons: they would end with this one.
        new CountDownLatch(1).await();
    }
}

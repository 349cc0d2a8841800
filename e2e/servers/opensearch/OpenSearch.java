package dev.paraflow.e2e;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.node.OpenSearchRunnerNode;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.plugins.Plugin;

/**
 * One OpenSearch node in the folder that is its only argument, with the settings of {@code config/opensearch.yml} there,
 * and with the modules that a distribution has and our tests use. It runs until its process is ended.
 */
public final class OpenSearch {
    private static final String[] MODULES = {
        "analysis.common.CommonAnalysis",
        "index.mapper.MapperExtras",
        "index.reindex.Reindex",
        "ingest.common.IngestCommon",
        "painless.Painless",
        "transport.Netty4",
    };

    private OpenSearch() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]).toAbsolutePath();
        Settings home = Settings.builder().put("path.home", folder).build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            home, Map.of(), folder.resolve("config"), () -> "opensearch");
        new OpenSearchRunnerNode(environment, modules()).start();
        // All threads of a node are daemons: they would end with this one.
        new CountDownLatch(1).await();
    }

    private static List<Class<? extends Plugin>> modules() {
        List<Class<? extends Plugin>> modules = new ArrayList<>();
        for (String name : MODULES) {
            modules.add(module(name));
        }
        return modules;
    }

    /** Since OpenSearch 3 the names of modules say that they are some. */
    private static Class<? extends Plugin> module(String name) {
        for (String ending : List.of("ModulePlugin", "Plugin")) {
            try {
                return Class.forName("org.opensearch." + name + ending).asSubclass(Plugin.class);
            } catch (ClassNotFoundException absent) {
                continue;
            }
        }
        throw new IllegalStateException("there is no module " + name);
    }
}

package io.github.histoloom;

import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ServiceLoader;
import qupath.lib.gui.extensions.QuPathExtension;

/** The jar alone, loaded as QuPath loads extensions: library and models come out of it. java -Duser.home=EMPTY ... JarTest JAR */
public final class JarTest {
    private JarTest() {}

    private static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    public static void main(String[] args) throws Exception {
        final URL[] jar = {new File(args[0]).toURI().toURL()};
        try (URLClassLoader loader = new URLClassLoader(jar, JarTest.class.getClassLoader())) {
            final QuPathExtension extension = ServiceLoader.load(QuPathExtension.class, loader).findFirst().orElseThrow();
            must(extension.getName().equals("Histoloom") && extension.getClass().getClassLoader() == loader, "the extension is found");
            must(extension.getClass().getPackage().getImplementationVersion() != null, "with a version");
            final Object said = loader.loadClass("io.github.histoloom.qupath.HistoloomScripts").getMethod("doctor").invoke(null);
            must(((String) said).contains("\"missing\": []"), "nothing is missing: " + said);
        }
        must(new File(System.getProperty("user.home"), ".histoloom").list().length == 1, "the models are unpacked once");
        System.out.println("the jar has all it needs");
    }
}

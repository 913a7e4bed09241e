package io.github.histoloom;

import com.sun.jna.Native;
import com.sun.jna.Platform;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Where the library and the models are: directories the user chose, empty = those in the jar. workDir keeps models out of the jar and label
 * maps that were drawn, since scripts name them.
 */
public record Settings(String libraryDir, String modelsDir, String device, Path workDir) {
    private static final String MODELS = "histoloom/models/";

    public Settings {
        libraryDir = libraryDir == null ? "" : libraryDir.strip();
        modelsDir = modelsDir == null ? "" : modelsDir.strip();
        device = device == null || device.isBlank() ? "auto" : device.strip();
    }

    /** The library's path, taken out of the jar where no directory is set. */
    String library(ClassLoader jar) throws Trouble {
        if (!libraryDir.isEmpty()) {
            final File file = new File(libraryDir, System.mapLibraryName("histoloom"));
            if (!file.isFile()) {
                throw Trouble.noLibrary("at " + file + ", where the settings look for it", null);
            }
            return file.getPath();
        }
        try {
            return Native.extractFromResourcePath("histoloom", jar).getPath();
        } catch (IOException e) {
            throw Trouble.noLibrary("in the jar for " + Platform.RESOURCE_PREFIX, e);
        }
    }

    /** The folder of the models; null where neither the settings nor the jar have them, and the library looks beside itself. */
    String models(ClassLoader jar) throws Trouble {
        if (!modelsDir.isEmpty()) {
            if (!new File(modelsDir, "manifest.json").isFile()) {
                throw Trouble.noModel("there is no manifest.json in " + modelsDir + ", where the settings look for them", null);
            }
            return modelsDir;
        }
        final List<String> names = lines(jar, MODELS + "index.txt");
        if (names.isEmpty()) {
            return null;
        }
        final Path to = workDir.resolve("models-" + Integer.toHexString(String.join("\n", lines(jar, MODELS + "manifest.json")).hashCode()));
        try {
            if (!Files.isDirectory(to)) {
                extract(jar, names, to);
            }
            return to.toString();
        } catch (IOException e) {
            throw Trouble.noModel("they could not be unpacked into " + to, e);
        }
    }

    /** All or nothing, also with two viewers at once. */
    private static void extract(ClassLoader jar, List<String> names, Path to) throws IOException {
        Files.createDirectories(to.getParent());
        final Path part = Files.createTempDirectory(to.getParent(), "models-part");
        try {
            for (String name : names) {
                try (InputStream in = jar.getResourceAsStream(MODELS + name)) {
                    if (in == null) {
                        throw new IOException("the jar lacks " + name);
                    }
                    Files.copy(in, part.resolve(name));
                }
            }
            Files.move(part, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException e) {
            throw e;
        } catch (FileSystemException e) {
            if (!Files.isDirectory(to)) {
                throw e;
            }
        } finally {
            Session.delete(part);
        }
    }

    private static List<String> lines(ClassLoader jar, String name) {
        try (InputStream in = jar.getResourceAsStream(name)) {
            return in == null ? List.of()
                : new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8)).lines().collect(Collectors.toList());
        } catch (IOException e) {
            return List.of();
        }
    }
}

// As in QuPath's extension template (qupath/qupath-extension-template, build.gradle.kts): `gradle build` makes the jar against QuPath itself. It
// needs the network and is no part of CI. The library and the models are put in by `make bundle`; without them users set their directories.
plugins {
    id("com.gradleup.shadow") version "8.3.5"
    id("qupath-conventions")
}

qupathExtension {
    name = "qupath-extension-histoloom"
    group = "io.github.histoloom"
    // the version stands in Cargo.toml alone, where the Makefile takes it from too
    version = Regex("""\[workspace\.package\]\s[^\[]*?version = .([^"]+)""").find(file("../../Cargo.toml").readText())!!.groupValues[1]
    description = "Pseudo-semantic maps of slides, and synthetic tiles made from them"
    automaticModule = "io.github.histoloom"
}

sourceSets {
    main {
        java.srcDir("../java")
        java.exclude("SmallHost.java")
        resources.srcDir("build/bundle")
    }
}

dependencies {
    shadow(libs.bundles.qupath)
    shadow(libs.bundles.logging)
    shadow(libs.qupath.fxtras)
    shadow(libs.jna)
}

tasks.withType<JavaCompile> {
    options.release = 17 // one jar for QuPath 0.6 (Java 21) and 0.7 (Java 25)
}

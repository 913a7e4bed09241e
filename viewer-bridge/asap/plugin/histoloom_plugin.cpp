#include "histoloom_plugin.h"

#include "asap_source.h"

HistoloomPlugin::~HistoloomPlugin() {
    controller_.reset();
    delete dock_;
}

bool HistoloomPlugin::initialize(PathologyViewer *viewer) {
    _viewer = viewer;
    histoloom::Setup setup;
    setup.models = qEnvironmentVariable("HISTOLOOM_MODELS");
    controller_ = std::make_unique<histoloom::Controller>(setup, viewer);
    connect(&controller_->session(), &histoloom::Session::map_changed, this, [this] {
        if (controller_->session().has_map()) controller_->save_map();
    }, Qt::QueuedConnection);
    return true;
}

QMenu *HistoloomPlugin::getMenu() { return controller_ ? controller_->menu() : nullptr; }

QDockWidget *HistoloomPlugin::getDockWidget() {
    if (controller_ && !dock_) {
        dock_ = new QDockWidget("Histoloom");
        dock_->setWidget(controller_->panel());
    }
    return dock_;
}

void HistoloomPlugin::onNewImageLoaded(std::weak_ptr<MultiResolutionImage> image, std::string file) {
    if (!controller_ || !_viewer) return;
    try {
        const auto slide = std::make_shared<histoloom::AsapSource>(std::move(image), QString::fromStdString(file));
        controller_->slide_opened(slide, _viewer->scene(), _viewer->getSceneScale());
    } catch (const std::exception &error) {
        controller_->slide_refused(QString::fromUtf8(error.what()));
    }
}

void HistoloomPlugin::onImageClosed() {
    if (controller_) controller_->slide_closed();
}
